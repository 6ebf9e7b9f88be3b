"""The image encoder of BioViL-T in plain torch, its layers named as in the published file: what ours is held against.

Written from torchvision's ResNet-50: bottlenecks whose 3 x 3 convolution has the stride.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1, and a way around them."""

    def __init__(self, into: int, inner: int, out: int, stride: int, *, downsample: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(into, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, out, 1, bias=False), nn.BatchNorm2d(out)
        self.downsample = (
            nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out)) if downsample else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, into, h, w) -> (n, out, h / stride, w / stride)"""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        around = x if self.downsample is None else self.downsample(x)
        return torch.relu(self.bn3(self.conv3(y)) + around)


class ResNet(nn.Module):
    """As far as the last stage; `fc` is there and not used."""

    def __init__(self, stem: int, depths: tuple[int, ...], sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, stem, 7, 2, 3, bias=False), nn.BatchNorm2d(stem)
        into = stem
        for stage, (depth, size) in enumerate(zip(depths, sizes, strict=True), 1):
            blocks = []
            for number in range(depth):
                stride = 2 if stage > 1 and number == 0 else 1
                blocks.append(Bottleneck(into, size // 4, size, stride, downsample=number == 0))
                into = size
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(into, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, last size, h / 32, w / 32)"""
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in (1, 2, 3, 4):
            x = getattr(self, f"layer{stage}")(x)
        return x


class Encoder(nn.Module):
    """Without a prior picture."""

    def __init__(self, stem: int, depths: tuple[int, ...], sizes: tuple[int, ...], half: int) -> None:
        super().__init__()
        self.encoder = ResNet(stem, depths, sizes)
        self.backbone_to_vit = nn.Conv2d(sizes[-1], half, 1, bias=False)
        self.missing_previous_emb = nn.Parameter(torch.zeros(1, half, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, places, 2 * half)"""
        seen = self.backbone_to_vit(self.encoder(x))
        prior = self.missing_previous_emb.repeat(len(seen), 1, *seen.shape[2:])
        return torch.cat([seen, prior], dim=1).flatten(2).transpose(1, 2)


class PublishedRaDialogEyes(nn.Module):
    """Encoder and projector: `vision_tower.encoder`, `mm_projector`."""

    def __init__(self, stem: int, depths: tuple[int, ...], sizes: tuple[int, ...], half: int, width: int) -> None:
        super().__init__()
        self.vision_tower = nn.ModuleDict({"encoder": Encoder(stem, depths, sizes, half)})
        self.mm_projector = nn.Sequential(nn.Linear(2 * half, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Pictures as embeddings of the language model."""
        embeddings: Tensor = self.mm_projector(self.vision_tower["encoder"](x))
        return embeddings
