"""``python -m orchestrator`` is ``regatta``."""

from orchestrator.cli import main

if __name__ == "__main__":
    main()
