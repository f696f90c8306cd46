"""What the figures of the examples share: four colours, titled parts, and how a figure gets to its file."""

import matplotlib

matplotlib.use("Agg")  # a figure is written to a file; no display is needed
import matplotlib.pyplot as plt

INK, WARM, COOL, FAINT = "#22303c", "#c8442c", "#2a6f97", "#b8c4cc"


def titled_figure(title, size):
    figure = plt.figure(figsize=size, layout="constrained")
    figure.suptitle(title + "\n", fontsize=15, color=INK)
    return figure


def titled(part, title):
    part.suptitle(title, x=0.02, ha="left", fontsize=11, fontweight="bold", color=INK)


def panel(part, title):
    """The one pair of axes of a titled part of a figure."""
    titled(part, title)
    axes = part.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def save(figure, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
