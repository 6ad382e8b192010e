"""From one YAML study to a report: specs, plans, Ray, the store, reports."""
