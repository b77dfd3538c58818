"""The digits that come with scikit-learn."""

from clep.datasets.arrays import Raw


def digits() -> Raw:
    """1 797 handwritten digits of 8 x 8 pixels from scikit-learn; needs no download.

    They are sorted by writer, hence a fixed stratified 80/20 split.
    """
    from sklearn.datasets import load_digits  # scikit-learn takes seconds to import
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    images, labels = bunch.images[:, None] / 16, bunch.target  # (N, 1, 8, 8), 17 grey levels
    x_train, x_test, y_train, y_test = train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=0)
    return Raw("digits", (x_train, y_train, x_test, y_test), ("digits",) * 4, "", "channels_first")
