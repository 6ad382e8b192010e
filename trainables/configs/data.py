"""Data sets."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from trainables.configs.base import Bound, Config, Count, Fraction, NonNegative

Seed = Annotated[int, Bound(ge=0)]
Targets = Literal["classes", "inputs"]
Part = Fraction | Count
"""A share of the examples in [0, 1), or a number of them."""


class Sizes(NamedTuple):
    """What is known of a data set before it is loaded."""

    train: int
    """Training examples."""
    input_shape: tuple[int, ...]
    outputs: int
    evaluated: int = 0
    """Validation and test examples."""


def held_out(part: Part, examples: int) -> int:
    """Examples that ``part`` of ``examples`` is."""
    return part if isinstance(part, int) else round(part * examples)


@dataclass(frozen=True, kw_only=True, slots=True)
class Split(Config):
    """How examples are divided: the split has a seed of its own, shared by all runs."""

    valid: Fraction = 0.15
    """Share of all examples held out for validation."""
    test: Fraction = 0.2
    """Share of all examples held out for testing."""
    split_seed: Seed = 0

    def sizes(self) -> Sizes | None:
        return None

    def trained(self, examples: int) -> int:
        """Examples left for training."""
        return examples - held_out(self.valid, examples) - held_out(self.test, examples)


@dataclass(frozen=True, kw_only=True, slots=True)
class Digits(Split):
    """1,797 handwritten digits of 8×8 pixels that come with scikit-learn (10 classes)."""

    name: Literal["digits"] = "digits"
    targets: Targets = "classes"
    """``inputs``: what an autoencoder learns, the pixels themselves, scaled to [0, 1]."""

    examples: ClassVar[int] = 1797
    inputs: ClassVar[int] = 64
    classes: ClassVar[int] = 10
    brightest: ClassVar[int] = 16
    """The largest value of a pixel."""

    def sizes(self) -> Sizes:
        train = self.trained(self.examples)
        outputs = self.inputs if self.targets == "inputs" else self.classes
        return Sizes(train, (self.inputs,), outputs, self.examples - train)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFiles(Config):
    """Images in files of a standard format, with a test set of their own."""

    root: str
    """The folder that holds the files; a relative one starts from the current folder."""
    valid: Part = 5000
    """Training images held out for validation: a number, or a share below 1."""
    split_seed: Seed = 0
    targets: Targets = "classes"
    """``inputs``: what an autoencoder learns, the pixels themselves, scaled to [0, 1]."""

    examples: ClassVar[int] = 60000
    """Training images in the complete files."""
    tests: ClassVar[int] = 10000
    image: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    classes: ClassVar[int] = 10
    brightest: ClassVar[int] = 255

    def sizes(self) -> Sizes:
        held = held_out(self.valid, self.examples)
        outputs = math.prod(self.image) if self.targets == "inputs" else self.classes
        return Sizes(self.examples - held, self.image, outputs, held + self.tests)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mnist(ImageFiles):
    """70,000 handwritten digits (LeCun et al. 1998), the four IDX files, gzipped or not."""

    name: Literal["mnist"] = "mnist"


@dataclass(frozen=True, kw_only=True, slots=True)
class FashionMnist(ImageFiles):
    """70,000 pieces of clothing (Xiao et al. 2017), the four IDX files, gzipped or not."""

    name: Literal["fashion_mnist"] = "fashion_mnist"


@dataclass(frozen=True, kw_only=True, slots=True)
class Kmnist(ImageFiles):
    """70,000 Japanese characters (Clanuwat et al. 2018), the four IDX files, gzipped or not."""

    name: Literal["kmnist"] = "kmnist"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cifar(ImageFiles):
    examples: ClassVar[int] = 50000
    image: ClassVar[tuple[int, int, int]] = (3, 32, 32)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cifar10(Cifar):
    """60,000 photographs in 10 classes (Krizhevsky 2009): python or binary version, .tar.gz too."""

    name: Literal["cifar10"] = "cifar10"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cifar100(Cifar):
    """60,000 photographs in 100 classes (Krizhevsky 2009), in the versions of CIFAR-10."""

    name: Literal["cifar100"] = "cifar100"

    classes: ClassVar[int] = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class ArrayFiles(Split):
    """Arrays x (n, …) and y: whole numbers are classes (n,), real ones targets (n,) or (n, C).

    ``valid`` and ``test`` divide x and y where the file has no ``x_valid``, ``y_valid`` or no
    ``x_test``, ``y_test`` of its own.
    """

    name: Literal["arrays"] = "arrays"
    path: str
    """An .npz file with x and y, or a folder with x.npy and y.npy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Characters(Config):
    """A text, to be predicted character by character.

    The vocabulary is the file's distinct characters, sorted. The text is cut in three without a
    shuffle (training first, then validation, then test), each part into windows of ``context`` + 1
    characters that do not overlap: ``context`` inputs, and the character after each of them.
    """

    name: Literal["characters"] = "characters"
    path: str
    """A UTF-8 text file; a relative one starts from the current folder."""
    context: Count = 64
    """Characters that a prediction may look back on, itself included."""
    valid: Fraction = 0.1
    """Share of the text held out for validation."""
    test: Fraction = 0.1
    """Share of the text held out for testing, its end."""

    def sizes(self) -> Sizes | None:
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class GaussianMixture(Split):
    """One normal distribution N(separation · u, I) a class, u a random unit vector."""

    name: Literal["gaussian_mixture"] = "gaussian_mixture"
    classes: Annotated[int, Bound(ge=2)] = 10
    features: Count = 20
    examples: Count = 2000
    separation: NonNegative = 3.0
    seed: Seed = 0

    def sizes(self) -> Sizes:
        train = self.trained(self.examples)
        return Sizes(train, (self.features,), self.classes, self.examples - train)


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherStudent(Split):
    """Inputs N(0, I), labelled by the largest output of a random relu network, the teacher."""

    name: Literal["teacher_student"] = "teacher_student"
    classes: Annotated[int, Bound(ge=2)] = 10
    features: Count = 20
    hidden: tuple[Count, ...] = (32,)
    """Widths of the teacher's hidden layers."""
    examples: Count = 2000
    seed: Seed = 0

    def sizes(self) -> Sizes:
        train = self.trained(self.examples)
        return Sizes(train, (self.features,), self.classes, self.examples - train)


@dataclass(frozen=True, kw_only=True, slots=True)
class LeastSquares(Config):
    """Linear regression y = X w + noise whose Hessian XᵀX/n has a chosen spectrum.

    The eigenvalues fall geometrically from 1 to 1/condition. X and y are used as they are (no
    standardization). Validation and test sets are as large as the training set, and fresh.
    """

    name: Literal["least_squares"] = "least_squares"
    features: Count = 20
    examples: Count = 200
    condition: Annotated[float, Bound(ge=1)] = 100.0
    noise: NonNegative = 0.0
    """Standard deviation of the noise on y."""
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.examples < self.features:
            raise ValueError("examples must be at least features, or the spectrum has zeros")

    def sizes(self) -> Sizes:
        return Sizes(self.examples, (self.features,), 1, 2 * self.examples)


@dataclass(frozen=True, kw_only=True, slots=True)
class MatrixFactorization(Config):
    """A matrix M (columns, rows) of a chosen rank, to be written as a product by ``deep_linear``.

    Inputs are the unit vectors, targets the columns of Mᵀ: with ``batch_size: rows`` the loss is
    ‖W_N … W_1 − M‖² / (2 rows). All entries are seen: the three splits are the same.
    """

    name: Literal["matrix_factorization"] = "matrix_factorization"
    rows: Count = 20
    columns: Count = 20
    rank: Count = 3
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.rank > min(self.rows, self.columns):
            raise ValueError("rank must be at most the smaller of rows and columns")

    def sizes(self) -> Sizes:
        return Sizes(self.rows, (self.rows,), self.columns, 2 * self.rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class UserData(Split):
    """``module:callable`` that returns arrays ``(x, y)``, split here by ``valid`` and ``test``."""

    name: str
    args: dict[str, Any] = field(default_factory=dict)


NamedData = (
    Digits
    | Mnist
    | FashionMnist
    | Kmnist
    | Cifar10
    | Cifar100
    | ArrayFiles
    | Characters
    | GaussianMixture
    | TeacherStudent
    | LeastSquares
    | MatrixFactorization
)
Data = NamedData | UserData
DATA: dict[str, type[NamedData]] = {
    "digits": Digits,
    "mnist": Mnist,
    "fashion_mnist": FashionMnist,
    "kmnist": Kmnist,
    "cifar10": Cifar10,
    "cifar100": Cifar100,
    "arrays": ArrayFiles,
    "characters": Characters,
    "gaussian_mixture": GaussianMixture,
    "teacher_student": TeacherStudent,
    "least_squares": LeastSquares,
    "matrix_factorization": MatrixFactorization,
}
