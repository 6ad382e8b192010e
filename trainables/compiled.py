"""A stack's step through ``torch.compile``: once for a group, whatever lanes come and go.

A network differentiated by hand (``chain``) is compiled with the number of lanes left open: one
program serves every stack of two lanes and more. ``vmap`` fixes the number, so there a
program serves the widths that a group begins with. Any other stack takes its steps as ever.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from trainables.configs.run import RunConfig
from trainables.optimizers import OPTIMIZERS
from trainables.step import Inputs, Method, Outcome, train_step

_MOST_PROGRAMS = 1000
"""PyTorch's own limit is 8 for one function, after which it silently no longer compiles."""


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled step, for the stacks of one group."""

    width: int
    """Lanes of the widest of them; it was compiled at this number of lanes."""
    any_width: bool
    """Whether the number of lanes was left open."""
    names: frozenset[str]
    """The hyperparameters that it reads: those of the whole group."""
    run: Callable[[Inputs], Outcome]
    cuda: bool
    masks: frozenset[str] = frozenset()
    """Names of the parameters that it masks."""

    def fits(self, inputs: Inputs) -> bool:
        """Parts of a group are as even as can be: of the full width, or of one lane less.

        With other masks it would be compiled again, in the midst of training.
        """
        lanes = len(inputs.batch.keys)
        wide = lanes >= 2 if self.any_width else self.width - 1 <= lanes <= self.width
        return wide and inputs.hyper.keys() == self.names and inputs.masks.keys() == self.masks

    def serves(self, width: int, names: Set[str]) -> bool:
        """Whether another group of the fusion key, with stacks of ``width``, can have it.

        What it reads and the group does not use is 0 in the group's lanes.
        """
        wide = width >= 2 if self.any_width else width == self.width
        return wide and names <= self.names

    def __call__(self, inputs: Inputs) -> Outcome:
        # Lanes that share their examples share the memory of them, until one of them ends.
        # A program would be compiled again for the other layout.
        x, targets = inputs.batch.x.contiguous(), inputs.batch.targets.contiguous()
        inputs = inputs._replace(batch=inputs.batch._replace(x=x, targets=targets))
        if not self.cuda:
            return self.run(inputs)
        # A graph writes where it wrote the step before: what is kept must leave its memory.
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        found: Outcome = pytree.tree_map_only(Tensor, torch.clone, self.run(inputs))
        return found


def refusal(runs: Sequence[RunConfig]) -> str | None:
    """Why the step of these runs (of one fusion key) is not compiled, if it is not."""
    if (why := OPTIMIZERS[runs[0].optimizer.name].not_compiled) is not None:
        return why
    if runs[0].train.batch_growth is not None:
        return "batches grow"
    return None


def compile_step(method: Method, inputs: Inputs, share: float) -> Program:
    """Compiles, and takes one step with ``inputs`` to do so; their number of lanes is its width.

    Programs are the same wherever they are compiled with inputs of these shapes.

    Raises:
        Exception: whatever PyTorch, the C++ compiler or the network raises.
    """
    with warnings.catch_warnings():
        # PyTorch's compiler uses parts of PyTorch that PyTorch deprecates, and looks at tensors
        # in ways that PyTorch warns of.
        warnings.simplefilter("ignore")
        return _compiled(method, inputs, share)


def _compiled(method: Method, inputs: Inputs, share: float) -> Program:
    lanes, cuda = len(inputs.batch.keys), inputs.batch.keys.is_cuda
    any_width = method.network.links is not None and lanes > 1
    torch._dynamo.config.recompile_limit = _MOST_PROGRAMS
    torch._dynamo.config.accumulated_recompile_limit = _MOST_PROGRAMS

    def step(inputs: Inputs) -> Outcome:
        return train_step(method, inputs, share)

    run: Callable[[Inputs], Outcome] = torch.compile(
        step, dynamic=None if any_width else False, mode="reduce-overhead" if cuda else None
    )
    names, masks = frozenset(inputs.hyper), frozenset(inputs.masks)
    program = Program(lanes, any_width, names, run, cuda, masks)
    if any_width:
        x, targets = inputs.batch.x.contiguous(), inputs.batch.targets.contiguous()
        inputs = inputs._replace(batch=inputs.batch._replace(x=x, targets=targets))
        for tensor in pytree.tree_leaves(inputs):
            if isinstance(tensor, Tensor):
                torch._dynamo.mark_dynamic(tensor, 0)
    program(inputs)
    return program
