"""Packs → one ``ray.tune.Tuner`` → the store: runs a study, or goes on where it stopped."""

from orchestrator.launch.check import LaunchError as LaunchError
from orchestrator.launch.folder import open_study as open_study
from orchestrator.launch.run import Finish as Finish
from orchestrator.launch.run import checked_data as checked_data
from orchestrator.launch.run import train as train
