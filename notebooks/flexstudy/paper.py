"""What the paper prints beside Table 2 (whose sets and RMSE are presets of `flexlib`), read from `paper.yaml`.

References
----------
Tran, D. H., Hussain, Z., Zhang, W. E., Khoa, N. L. D., Tran, N. H., & Sheng, Q. Z. (2018). Deep autoencoder for
recommender systems: parameter influence analysis. arXiv:1901.00415.
"""

from pathlib import Path
from typing import Any

import yaml

_PRINTED: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("paper.yaml").read_text(encoding="utf-8"))
FIGURE_4 = _PRINTED["figure4"]  # Pearson correlations: `order` of the parameters, `upper` triangle by row
FIGURE_5 = _PRINTED["figure5"]  # RMSE on MovieLens 1M of Table 2's sets, and what Section 4.5 says of them
TABLE_3_RMSE: dict[str, float] = _PRINTED["table3"]  # by the keys of `flexlib.methods`, and of FlexEncoder
TABLE_3_IMPROVEMENT: dict[str, float] = _PRINTED["table3_improvement"]  # as printed, by the same keys
PRINTED_TOLERANCE = 0.02  # stars between a printed RMSE and ours, up to which the printed one counts as met
