"""Models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from trainables.configs.base import Config, Count, Fraction, Positive

Activation = Literal["relu", "tanh", "gelu", "sigmoid", "linear"]
Norm = Literal["none", "batch", "layer", "group", "weight"]
TokenNorm = Literal["none", "layer"]
Init = Literal["torch", "lecun", "xavier", "kaiming", "orthogonal"]
GptInit = Literal["gpt2", "torch", "lecun", "xavier", "kaiming", "orthogonal"]


_THROUGH_ZERO = ("tanh", "gelu", "linear")
"""Activations that are 0 at 0, with a slope there."""


def _check_zero_init(*, zero_init: bool, skip: bool) -> None:
    if zero_init and not skip:
        raise ValueError("zero_init needs skip: without it, nothing would pass")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mlp(Config):
    """A fully connected network: linear, normalization, activation, for each hidden layer."""

    name: Literal["mlp"] = "mlp"
    hidden: tuple[Count, ...] = (64, 32)
    """Widths of the hidden layers; an empty list is a linear classifier."""
    activation: Activation = "relu"
    norm: Norm = "none"
    init: Init = "torch"
    skip: bool = False
    """Add a hidden layer's input to its output wherever the widths agree."""
    bias: bool = True
    scale: Positive = 1.0
    """Factor on the initial weights."""
    zero_init: bool = False
    """Start every layer with a skip connection as the identity: the scale of its norm (its
    weights, where there is no norm) is 0."""

    def __post_init__(self) -> None:
        _check_zero_init(zero_init=self.zero_init, skip=self.skip)
        if self.zero_init and self.activation not in _THROUGH_ZERO:
            raise ValueError(
                f"zero_init goes with {', '.join(_THROUGH_ZERO)}; a layer that starts at 0 stays"
                f" there or is not 0 with {self.activation}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Linear(Config):
    """One linear layer: linear or softmax regression."""

    name: Literal["linear"] = "linear"
    init: Init = "torch"
    bias: bool = True
    scale: Positive = 1.0
    """Factor on the initial weights."""

    def as_mlp(self) -> Mlp:
        return Mlp(hidden=(), init=self.init, bias=self.bias, scale=self.scale)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeepLinear(Config):
    """A product of matrices W_N … W_1 (Saxe et al. 2014), without biases unless asked for."""

    name: Literal["deep_linear"] = "deep_linear"
    hidden: tuple[Count, ...] = (32,)
    """The widths between the matrices."""
    init: Init = "torch"
    bias: bool = False
    scale: Positive = 1.0
    """Factor on the initial weights."""

    def as_mlp(self) -> Mlp:
        return Mlp(
            hidden=self.hidden,
            activation="linear",
            init=self.init,
            bias=self.bias,
            scale=self.scale,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Lenet300100(Config):
    """The fully connected network 300-100 of LeCun et al. 1998: 266,610 parameters on MNIST."""

    name: Literal["lenet_300_100"] = "lenet_300_100"
    activation: Activation = "relu"
    norm: Norm = "none"
    init: Init = "torch"
    scale: Positive = 1.0
    """Factor on the initial weights."""

    def as_mlp(self) -> Mlp:
        return Mlp(
            hidden=(300, 100),
            activation=self.activation,
            norm=self.norm,
            init=self.init,
            scale=self.scale,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageModel(Config):
    """A model of images (channels, height, width)."""

    smallest: ClassVar[int] = 1
    """Pixels that the shorter side must have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lenet5(ImageModel):
    """LeNet-5 (LeCun et al. 1998) as it is used today: see ``models.convolutional.lenet5``."""

    name: Literal["lenet5"] = "lenet5"
    activation: Activation = "relu"
    norm: Norm = "none"
    init: Init = "torch"
    scale: Positive = 1.0
    """Factor on the initial weights."""

    smallest: ClassVar[int] = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Plain(ImageModel):
    """Convolutions 3×3 and halvings of the image, one after the other; then linear layers."""

    activation: Activation = "relu"
    norm: Norm = "none"
    init: Init = "xavier"
    width: Positive = 1.0
    """Factor on the number of channels."""
    scale: Positive = 1.0
    """Factor on the initial weights."""

    channels: ClassVar[tuple[int, ...]] = ()
    """Channels of each convolution; 0 halves the image."""
    hidden: ClassVar[tuple[int, ...]] = (256, 256)


@dataclass(frozen=True, kw_only=True, slots=True)
class Conv2(Plain):
    """Conv-2 of Frankle & Carbin 2019."""

    name: Literal["conv2"] = "conv2"

    channels: ClassVar[tuple[int, ...]] = (64, 64, 0)
    smallest: ClassVar[int] = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Conv4(Plain):
    """Conv-4 of Frankle & Carbin 2019."""

    name: Literal["conv4"] = "conv4"

    channels: ClassVar[tuple[int, ...]] = (64, 64, 0, 128, 128, 0)
    smallest: ClassVar[int] = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Conv6(Plain):
    """Conv-6 of Frankle & Carbin 2019."""

    name: Literal["conv6"] = "conv6"

    channels: ClassVar[tuple[int, ...]] = (64, 64, 0, 128, 128, 0, 256, 256, 0)
    smallest: ClassVar[int] = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Vgg11(Plain):
    """VGG-11 (Simonyan & Zisserman 2015) for CIFAR: one linear layer behind the convolutions."""

    name: Literal["vgg11"] = "vgg11"
    norm: Norm = "batch"
    init: Init = "kaiming"

    channels: ClassVar[tuple[int, ...]] = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0)
    hidden: ClassVar[tuple[int, ...]] = ()
    smallest: ClassVar[int] = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Vgg16(Plain):
    """VGG-16 (Simonyan & Zisserman 2015) for CIFAR: one linear layer behind the convolutions."""

    name: Literal["vgg16"] = "vgg16"
    norm: Norm = "batch"
    init: Init = "kaiming"

    channels: ClassVar[tuple[int, ...]] = (
        *(64, 64, 0, 128, 128, 0, 256, 256, 256, 0),
        *(512, 512, 512, 0, 512, 512, 512, 0),
    )
    hidden: ClassVar[tuple[int, ...]] = ()
    smallest: ClassVar[int] = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Resnet(ImageModel):
    """Residual networks for CIFAR (He et al. 2016), with 1×1 convolutions where widths change."""

    norm: Norm = "batch"
    init: Init = "kaiming"
    width: Positive = 1.0
    """Factor on the 16, 32 and 64 channels."""
    skip: bool = True
    """Without, the same network has no residual connections."""
    zero_init: bool = False
    """Start every residual branch at zero: the scale of its last norm (its last convolution
    and its bias, where there is no norm) is 0 (Goyal et al. 2017)."""
    scale: Positive = 1.0
    """Factor on the initial weights."""

    blocks: ClassVar[int] = 3
    """Residual blocks in each of the three stages."""
    smallest: ClassVar[int] = 4

    def __post_init__(self) -> None:
        _check_zero_init(zero_init=self.zero_init, skip=self.skip)


@dataclass(frozen=True, kw_only=True, slots=True)
class Resnet20(Resnet):
    """ResNet-20: 272,474 parameters."""

    name: Literal["resnet20"] = "resnet20"


@dataclass(frozen=True, kw_only=True, slots=True)
class Resnet32(Resnet):
    """ResNet-32: 466,906 parameters."""

    name: Literal["resnet32"] = "resnet32"

    blocks: ClassVar[int] = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Resnet44(Resnet):
    """ResNet-44: 661,338 parameters."""

    name: Literal["resnet44"] = "resnet44"

    blocks: ClassVar[int] = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class Resnet56(Resnet):
    """ResNet-56: 855,770 parameters."""

    name: Literal["resnet56"] = "resnet56"

    blocks: ClassVar[int] = 9


@dataclass(frozen=True, kw_only=True, slots=True)
class Vit(ImageModel):
    """A small vision transformer (Dosovitskiy et al. 2021), normalized before each part."""

    name: Literal["vit"] = "vit"
    patch: Count = 4
    """Pixels of a patch's side; it must divide the image's sides."""
    width: Count = 64
    depth: Count = 4
    heads: Count = 4
    dropout: Fraction = 0.0
    init: Init = "xavier"
    scale: Positive = 1.0
    """Factor on the initial weights."""
    norm: TokenNorm = "layer"
    """Of each token, before each part and before the mean."""
    skip: bool = True
    """Without, the same network has no residual connections."""
    zero_init: bool = False
    """Start every residual branch at zero: the weights and bias of its last layer are 0."""

    def __post_init__(self) -> None:
        _check_zero_init(zero_init=self.zero_init, skip=self.skip)
        if self.width % self.heads:
            raise ValueError("heads must divide width")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpt(Config):
    """A small causal transformer of tokens (Radford et al. 2019), normalized before each part."""

    name: Literal["gpt"] = "gpt"
    width: Count = 64
    depth: Count = 2
    heads: Count = 4
    dropout: Fraction = 0.0
    """Of the embeddings and of what each part adds."""
    init: GptInit = "gpt2"
    """Of linear layers; embeddings are N(0, 0.02²) whatever it is."""
    skip: bool = True
    """Without, the same network has no residual connections."""
    scale: Positive = 1.0
    """Factor on the initial weights of linear layers."""
    norm: TokenNorm = "layer"
    """Of each token, before each part and before the last layer."""
    zero_init: bool = False
    """Start every residual branch at zero: the weights and bias of its last layer are 0."""

    def __post_init__(self) -> None:
        _check_zero_init(zero_init=self.zero_init, skip=self.skip)
        if self.width % self.heads:
            raise ValueError("heads must divide width")


@dataclass(frozen=True, kw_only=True, slots=True)
class UserModel(Config):
    """``module:callable`` that returns a ``torch.nn.Module``; it need not know about lanes."""

    name: str
    args: dict[str, Any] = field(default_factory=dict)


NamedModel = (
    Mlp
    | Linear
    | DeepLinear
    | Lenet300100
    | Lenet5
    | Conv2
    | Conv4
    | Conv6
    | Vgg11
    | Vgg16
    | Resnet20
    | Resnet32
    | Resnet44
    | Resnet56
    | Vit
    | Gpt
)
Model = NamedModel | UserModel
MODELS: dict[str, type[NamedModel]] = {
    "mlp": Mlp,
    "linear": Linear,
    "deep_linear": DeepLinear,
    "lenet_300_100": Lenet300100,
    "lenet5": Lenet5,
    "conv2": Conv2,
    "conv4": Conv4,
    "conv6": Conv6,
    "vgg11": Vgg11,
    "vgg16": Vgg16,
    "resnet20": Resnet20,
    "resnet32": Resnet32,
    "resnet44": Resnet44,
    "resnet56": Resnet56,
    "vit": Vit,
    "gpt": Gpt,
}
