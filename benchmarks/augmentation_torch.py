"""The PyTorch side of the comparison, for an interpreter that has torch and torchvision; prints images per second."""

import sys
import time

import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

BATCH, WORKERS = 32, 2


def loader(folder: str) -> DataLoader:
    """Return shuffled batches of a class folder, changed as lesionflow's default recipe changes them."""
    change = transforms.Compose(
        [
            transforms.RandomHorizontalFlip(),
            transforms.RandomVerticalFlip(),
            transforms.RandomAffine(
                180, translate=(0.05, 0.05), scale=(0.85, 1.15), interpolation=transforms.InterpolationMode.BILINEAR
            ),
            transforms.ColorJitter(brightness=0.1, contrast=0.15, saturation=0.15, hue=0.02),
            transforms.PILToTensor(),
        ]
    )
    return DataLoader(
        ImageFolder(folder, change), BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True, drop_last=True
    )


def main(folder: str, seconds: float) -> None:
    """Read epochs for so many seconds, after one that starts the workers."""
    batches, total = loader(folder), 0
    for images, _ in batches:
        assert images.dtype == torch.uint8
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        total += sum(len(labels) for _, labels in batches)
    print(total / (time.perf_counter() - started))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
