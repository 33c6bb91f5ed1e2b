"""Every planted fault, by name; ``docs/gradient-checking.md`` lists them with what the checker says."""

from __future__ import annotations

from . import faults_conv, faults_layers, faults_products
from .planting import Fault

FAULTS: list[Fault] = [*faults_conv.FAULTS, *faults_products.FAULTS, *faults_layers.FAULTS]
