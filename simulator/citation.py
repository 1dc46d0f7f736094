"""How to cite the paper and this program."""

from simulator.version import __version__

PAPER = """@misc{chen2025lrisc,
  title         = {Latent Feature-Guided Conditional Diffusion for
                   High-Fidelity Generative Image Semantic Communication},
  author        = {Chen, Zehao and Wei, Xinfeng and Tong, Haonan
                   and Yang, Zhaohui and Yin, Changchuan},
  year          = {2025},
  eprint        = {2504.21577},
  archivePrefix = {arXiv},
}"""

PROGRAM = f"""@software{{wireless_image_simulator,
  title   = {{Wireless image simulator}},
  author  = {{{{The simulator's maintainers}}}},
  version = {{{__version__}}},
  year    = {{2026}},
  note    = {{Commit: as in provenance.json of the results cited}},
  license = {{MIT}},
}}"""
