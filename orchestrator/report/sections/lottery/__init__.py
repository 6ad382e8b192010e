"""The sections of a lottery study: what tickets come to, and what may lie behind it."""
