"""A stack: L runs of one fusion key that train in lockstep, one training step for all."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainables import averaging, models, noise_scale, plateau, precision
from trainables.arrays import Arrays
from trainables.batches import Batches, check_size
from trainables.clipping import Bounds
from trainables.compiled import Program, compile_step
from trainables.configs.run import RunConfig, evaluation_interval, length, step_ends
from trainables.evaluation import mean_metrics, read_metrics
from trainables.forward import Network
from trainables.gradients import Batch, in_parts
from trainables.hyper import courses, cycled_field, hyperparameters, learning_rates, rate_scales
from trainables.lanes import State, Tree, derive, norm
from trainables.losses import LOSSES
from trainables.precision import LOW
from trainables.pruning import masks
from trainables.stack_state import StackState, join, moved, take
from trainables.step import Inputs, Method, Outcome, train_step


class Stack:
    """L lanes with their parameters, optimizer state and hyperparameters, all (L, …).

    All lanes are at the same step. Nothing in a step reads from the device. ``step`` counts
    batches of ``batch_size``, and so does whatever is measured in steps; ``updates`` counts
    optimizer steps, which are fewer where batches grow.
    """

    def __init__(
        self,
        runs: Sequence[RunConfig],
        arrays: Arrays,
        *,
        unfold: bool = False,
        program: Program | None = None,
        hyper: Collection[str] = (),
    ) -> None:
        """Initializes every lane from its run's seed.

        Args:
            runs: configurations with one fusion key.
            unfold: do convolutions as matrix products.
            program: the step compiled (``compile``), of a stack of this fusion key.
            hyper: hyperparameters in use although they may be 0 in every lane.

        Raises:
            ValueError: the batch is larger than the training set, or a schedule does not fit
                the training.
        """
        self.runs = list(runs)
        self.arrays = arrays
        self.updates = 0
        self.ends: Sequence[int] = range(1)
        first = self.runs[0]
        check_size(first.train.batch_size, arrays.examples)
        self.steps_per_epoch = arrays.examples // first.train.batch_size
        self.interval = evaluation_interval(first.train, self.steps_per_epoch)
        self._plateaus = [plateau.of(run, self.steps_per_epoch) for run in self.runs]
        self.program = program
        self._also = {*hyper, *(program.names if program else ())}
        self._read_runs()
        self._losses: list[Tensor] = []
        self._scores: list[Tensor] = []
        self._counts: list[int] = []
        self._initialize(unfold)

    @property
    def lanes(self) -> int:
        return len(self.runs)

    @property
    def outputs(self) -> int:
        """Of the networks: classes or real targets; one where a loss tells two classes by it."""
        return 1 if self.runs[0].train.loss == "logistic" else self.arrays.outputs

    def _read_runs(self, hyper: set[str] | None = None) -> None:
        """Derives from ``self.runs`` what the step needs of them, on the device.

        Args:
            hyper: the hyperparameters in use; they stay in use, so that neither compaction
                nor a restore changes an operation.
        """
        device = self.arrays.train[0].device
        self.lengths = [length(run.train, self.steps_per_epoch) for run in self.runs]
        self.ends = step_ends(
            self.runs[0].train, self.steps_per_epoch, max(*self.lengths, self.step)
        )
        self._batches = Batches(self.runs, self.arrays)
        self._averaging = averaging.of(
            self.runs, self.lengths, self.steps_per_epoch, self.ends, device
        )
        self._keys = torch.tensor([derive(r.seed, "dropout") for r in self.runs], device=device)
        self._rates = learning_rates(self.runs, self.steps_per_epoch).to(device)
        scales = rate_scales(self.runs, self.steps_per_epoch)
        self._rate_scales = None if scales is None else scales.to(device)
        for lane, (run, follows) in enumerate(zip(self.runs, self._plateaus, strict=True)):
            if follows is not None and follows.lr != run.optimizer.lr:
                self._set_rate(lane, follows.lr)
        found = courses(self.runs, self.steps_per_epoch)
        self._courses = {name: values.to(device) for name, values in found.items()}
        self._cycled = [name for name in (cycled_field(self.runs),) if name is not None]
        names = None if hyper is None else hyper | self._also
        optimizers = [run.optimizer for run in self.runs]
        self._hyper = hyperparameters(optimizers, device, names, {*found, *self._also})
        self._noise_probe = noise_scale.of(self.runs, device)
        self._clipping = Bounds.of([run.train for run in self.runs], device)
        radii = [run.train.sam_rho or 0.0 for run in self.runs]
        self._sam = torch.tensor(radii, dtype=torch.float64, device=device) if radii[0] else None

    def _set_rate(self, lane: int, lr: float) -> None:
        """The lane's rate from the current step on, before it is scaled."""
        at = slice(self.step, self.lengths[lane])
        scales = self._rate_scales
        self._rates[at, lane] = lr if scales is None else lr * scales[at, lane]

    def _initialize(self, unfold: bool) -> None:
        device, dtype = self.arrays.train[0].device, self.arrays.dtype
        module, self.params, self.buffers = models.build_lanes(
            self.runs, self.arrays.input_shape, self.outputs, device, dtype
        )
        chosen = self.runs[0].train.precision
        self.network = Network.of(module, LOW.get(chosen), unfold=unfold)
        self._method = Method.of(self.network, self.runs[0])
        self._optimizer = self._method.optimizer
        self.state: State = self._method.init(self.params)
        self._scale = precision.first_scale(chosen, self.lanes, device)
        self._grad_norm = torch.zeros(self.lanes, device=device)
        self._average: Tree = {}
        self.masks: Tree = {}
        self._mask_bits: Tree = {}
        self._noise = self._first_noise()
        if self._averaging is not None:
            self._average = self._averaging.begin(self.params, self.buffers)

    def _first_noise(self) -> Tree:
        return {} if self._noise_probe is None else self._noise_probe.begin()

    def next_stop(self) -> int:
        """The next step at which a lane is due: an evaluation, or the end of its training."""
        return min((self.step // self.interval + 1) * self.interval, *self.lengths)

    def due(self) -> list[int]:
        """Lanes whose evaluation is due at the current step."""
        grid = self.reached(self.interval)
        return [lane for lane in range(self.lanes) if grid or self.step >= self.lengths[lane]]

    def reached(self, every: int) -> bool:
        """Whether the last step has reached a multiple of ``every`` batches: with ``interval``,
        an evaluation of all lanes."""
        return self.step // every > self.last // every

    @property
    def step(self) -> int:
        return self.ends[self.updates]

    @property
    def last(self) -> int:
        """``step`` before the last one: what that one began with."""
        return self.ends[self.updates - 1] if self.updates else -1

    def advance(self, until: int) -> None:
        """Trains all lanes up to step ``until``, or past it where one takes several batches."""
        with torch.no_grad(), precision.products(self.runs[0].train.precision):
            while self.step < until:
                end = self.ends[self.updates + 1]
                self._train_step(end, last=end >= until)

    def _train_step(self, end: int, *, last: bool) -> None:
        count = end - self.step
        found, noise = self._measured_outcome(count)
        average = self._average
        if self._averaging is not None:
            average = self._averaging.next(average, found.params, found.buffers, end)
        if last:
            self._grad_norm = norm(found.gradients)
        # Assigned together, at the end: a step that raises leaves the stack whole.
        self.params, self.state, self.buffers = found.params, found.state, found.buffers
        self._scale, self._average, self._noise = found.scale, average, noise
        self._losses.append(found.losses)
        self._scores.append(found.scores)
        self._counts.append(count)
        self.updates += 1

    def _measured_outcome(self, count: int) -> tuple[Outcome, Tree]:
        """The next step; and the averages of the noise scale, measured where that is due."""
        inputs, share, probe = self._inputs(count), self._share(count), self._noise_probe
        if probe is None or not probe.due(self.updates):
            return self._outcome(inputs, share), self._noise
        found = self._outcome(inputs, share, watched=probe.parts == self._method.parts)
        squares = found.squares or noise_scale.squares_apart(self._method, inputs, probe.parts)
        examples = count * self.runs[0].train.batch_size
        return found, probe.next(self._noise, squares, examples)

    def _inputs(self, count: int = 1) -> Inputs:
        """All tensors that the next step reads."""
        hyper = self.hyper_at(self.step)
        batch, clipping = self.batch(count=count), self._clipping
        trees, kept = (self.params, self.state, self.buffers), self._mask_bits
        return Inputs(*trees, batch, hyper, self._scale, clipping, self._sam, kept)

    def hyper_at(self, step: int) -> Tree:
        """The hyperparameters of the step that begins there, (L,) float64."""
        hyper = self._hyper | {name: rows[step] for name, rows in self._courses.items()}
        return hyper | {"lr": self._rates[step]}

    def _share(self, count: int = 1) -> float:
        """Examples of a step / training examples."""
        return count * self.runs[0].train.batch_size / self.arrays.examples

    def _outcome(self, inputs: Inputs, share: float, *, watched: bool = False) -> Outcome:
        """A step; where a compiled one raises, this stack goes on without. A compiled one is not
        watched: another program would round otherwise than the steps around it."""
        if self.program is not None and self.program.fits(inputs):
            # Where the step itself is at fault, it raises again below.
            with contextlib.suppress(Exception):
                return self.program(inputs)
            self.program = None
        return train_step(self._method, inputs, share, self.updates, watched=watched)

    def compile(self) -> Program:
        """The step of this stack, compiled, for stacks of its fusion key and at most its width.

        Raises:
            Exception: whatever PyTorch, the C++ compiler or the network raises.
        """
        with torch.no_grad(), precision.products(self.runs[0].train.precision):
            return compile_step(self._method, self._inputs(), self._share())

    def batch(self, step: int | None = None, count: int = 1) -> Batch:
        """Every lane's training batch at this step, or another; ``count`` of an epoch as one."""
        step = self.step if step is None else step
        x, targets = self._batches.at(step, count)
        return Batch(x, targets, self._keys + derive(step), self._scale.get("scale"))

    def evaluated(self) -> tuple[Tree, Tree]:
        """The parameters and buffers that are measured."""
        with torch.no_grad(), precision.products(self.runs[0].train.precision):
            return self._evaluated()

    def _evaluated(self) -> tuple[Tree, Tree]:
        if self._averaging is None:
            return self._optimizer.evaluated(self.params, self.state), self.buffers
        return self._averaging.evaluated(
            self.network, self._average, self.params, self.buffers, self.step, self.epoch_batches()
        )

    def epoch_batches(self) -> Iterator[Batch]:
        """The training batches of the epoch of the last step, in the parts that they are
        trained in: what statistics of batch normalization are estimated on."""
        first = max(0, self.step - 1) // self.steps_per_epoch * self.steps_per_epoch
        parts = self.runs[0].train.accumulate
        for step in range(first, first + self.steps_per_epoch):
            yield from in_parts(self.batch(step), parts)

    def evaluate(self) -> tuple[dict[str, npt.NDArray[np.float64]], npt.NDArray[np.float64]]:
        """Metrics of every lane now, and batch losses since the last evaluation.

        Returns:
            metric → (L,); and the losses (steps, L) of the interval. One read from the device.
        """
        with torch.no_grad(), precision.products(self.runs[0].train.precision):
            params, buffers = self._evaluated()
            loss = LOSSES[self.runs[0].train.loss]
            splits = (self.arrays.valid, self.arrays.test)
            more = [("momentum", self._courses[name][self.last]) for name in self._cycled]
            more += noise_scale.reported(self._noise).items()
            found = [
                *itertools.chain(
                    *(mean_metrics(self.network, params, buffers, x, loss) for x in splits)
                ),
                self._rates[self.last],
                self._grad_norm,
                *(tensor for _, tensor in more),
            ]
            tensors = torch.stack(
                [t.to(torch.float64) for t in [*found, *self._losses, *self._scores]]
            )
        metrics, losses = read_metrics(
            tensors.cpu().numpy(), [n for n, _ in more], self._counts, self.runs[0], self.arrays
        )
        if self.reached(self.interval):
            self._losses, self._scores, self._counts = [], [], []
        return metrics, losses

    def adapt(self, metrics: Mapping[str, npt.NDArray[np.float64]]) -> None:
        """Shows an evaluation's metrics to the schedules that follow them."""
        if not self.reached(self.interval):
            return  # an evaluation for the sake of a lane that ended
        for lane, follows in enumerate(self._plateaus):
            if follows is None:
                continue
            own = {name: float(values[lane]) for name, values in metrics.items()}
            if follows.observe(self.step, own):
                self._set_rate(lane, follows.lr)

    def keep(self, lanes: Sequence[int]) -> Stack:
        """A stack of only these lanes, each at its step: compaction, and splitting."""
        return self.put([self.runs[lane] for lane in lanes], self.lane_states(lanes))

    def put(self, runs: Sequence[RunConfig], state: Mapping[str, Any]) -> Stack:
        """A stack like this one, with these lanes in place of its own.

        Args:
            state: a lane for each run, at any step.
        """
        made = object.__new__(Stack)
        made.__dict__ |= self.__dict__
        made.runs = list(runs)
        made._plateaus = [plateau.of(run, self.steps_per_epoch) for run in runs]
        made.load_state_dict(state)
        return made

    def begun_with(self, params: Tree, buffers: Tree) -> StackState:
        """The state of a stack like this one, before its first step, that begins with these."""
        average = {} if self._averaging is None else self._averaging.begin(params, buffers)
        state = self._method.init(params)
        begun = {"params": params, "buffers": buffers, "state": state, "average": average}
        return {**self.state_dict(), **begun}

    def lane_states(self, lanes: Sequence[int]) -> StackState:
        """A copy of everything that training has changed in these lanes (``stack_state``)."""
        return take(self.state_dict(), lanes)

    @classmethod
    def of_states(
        cls,
        runs: Sequence[RunConfig],
        arrays: Arrays,
        states: Sequence[Mapping[str, Any]],
        *,
        unfold: bool = False,
        program: Program | None = None,
    ) -> Stack:
        """A stack of lanes from elsewhere; ``states`` together have a lane for each run.

        Whether convolutions are products, and steps are compiled, is decided here, not by where
        the lanes were before.

        Raises:
            ValueError: the lanes are not at the same step, or of different kinds.
        """
        joined = cls(runs, arrays, unfold=unfold, program=program)
        joined.load_state_dict(join(states))
        return joined

    def state_dict(self) -> StackState:
        """Everything that training has changed: tensors and plain data only."""
        return {
            "updates": self.updates,
            "unfold": self.network.unfold,
            "compiled": self.program is not None,
            "params": self.params,
            "buffers": self.buffers,
            "state": self.state,
            "hyper": sorted(self._hyper),
            "losses": list(self._losses),
            "scores": list(self._scores),
            "counts": list(self._counts),
            "grad_norm": self._grad_norm,
            "scale": self._scale,
            "average": self._average,
            "masks": self.masks,
            "noise": self._noise,
            "plateaus": [follows and follows.state_dict() for follows in self._plateaus],
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Puts back what ``state_dict`` gave: training goes on bit for bit."""
        saved = moved(saved, self._keys.device)
        self.updates = saved["updates"]
        self.params, self.buffers, self.state = saved["params"], saved["buffers"], saved["state"]
        for follows, state in zip(self._plateaus, saved["plateaus"], strict=True):
            if follows is not None:
                follows.load_state_dict(state)
        self._read_runs(set(saved["hyper"]))
        self._losses, self._scores = list(saved["losses"]), list(saved["scores"])
        self._counts = list(saved["counts"])
        self._grad_norm = saved["grad_norm"]
        self._scale, self._average = saved["scale"], saved["average"]
        self._noise = saved.get("noise") or self._first_noise()
        self.masks = saved["masks"]
        self._mask_bits = masks.bits(self.masks, self.params)
