"""What every test shares: names for doctests, and one thread for torch (the suite runs on two cores)."""

import hypothesis
import torch

hypothesis.settings.register_profile("vdata", deadline=None, max_examples=40, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("vdata")
torch.set_num_threads(1)
