"""BioViL-T's image encoder: its real size, and how a picture is prepared for it. What it computes: test_radialog.py."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from transformers import ResNetConfig

from radvlm_cli.adapters.biovil import BiovilTower, prepare


def test_at_its_real_size_the_encoder_is_resnet_50() -> None:
    config = ResNetConfig(embedding_size=64, hidden_sizes=[256, 512, 1024, 2048], depths=[3, 4, 6, 3])
    with torch.device("meta"):
        tower = BiovilTower(config, 256)
    # torchvision's has 320 with the two of `fc`.
    assert len(tower.resnet.state_dict()) == 318
    assert sum(each.numel() for each in tower.resnet.parameters()) == 23_508_032
    assert tower.width == 512


def test_pictures_are_prepared_as_published() -> None:
    grey = np.random.default_rng(0).integers(20, 200, (700, 1001), dtype=np.uint8)
    stretched = ((grey - grey.min()) / (grey.max() - grey.min()) * 255).astype(np.uint8)
    resized = Image.fromarray(stretched).resize((732, 512), Image.Resampling.BILINEAR)
    wanted = np.asarray(resized)[32:480, 142:590] / np.float32(255)
    pixels = prepare(Image.fromarray(grey))
    assert pixels.shape == (3, 448, 448)
    for channel in pixels:
        torch.testing.assert_close(channel, torch.from_numpy(wanted), rtol=0, atol=0)


def test_a_picture_of_one_colour_is_black() -> None:
    assert prepare(Image.new("L", (30, 40), 77)).abs().max() == 0
