"""The study's results on disk: one SQLite database, the truth that W&B and reports mirror."""

from orchestrator.store.database import Store as Store
from orchestrator.store.decisions import Decision as Decision
from orchestrator.store.inherit import Trained as Trained
from orchestrator.store.patience import StorageError as StorageError
from orchestrator.store.populations import Copied as Copied
from orchestrator.store.populations import Lineage as Lineage
from orchestrator.store.populations import lineage as lineage
from orchestrator.store.repair import StoreError as StoreError
from orchestrator.store.schema import FINISHED as FINISHED
from orchestrator.store.schema import SCHEMA_VERSION as SCHEMA_VERSION
from orchestrator.store.schema import SETTLED as SETTLED
from orchestrator.store.standing import Outcome as Outcome
from orchestrator.store.standing import is_whole as is_whole
from orchestrator.store.standing import to_come as to_come
from orchestrator.store.suggestions import Suggestion as Suggestion
