"""What tests of figures look for in matplotlib's objects."""


def line(axes, label):
    (found,) = [line for line in axes.get_lines() if line.get_label() == label]
    return found


def words(axes):
    return [text.get_text() for text in axes.texts]
