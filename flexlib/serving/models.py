"""placeholder"""

from flexlib.storage.models import load_model, save_model  # noqa
