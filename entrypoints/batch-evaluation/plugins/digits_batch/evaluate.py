"""The batch: is an image recognised by a classifier that has not seen it?"""

import structlog
from dioptra import pyplugs
from sklearn import datasets
from sklearn.neighbors import KNeighborsClassifier

from dioptra_worker.batch import Element, ElementsWorker

LOGGER = structlog.get_logger()


class Recognise(ElementsWorker):
    """Tells which images a classifier takes for what they are."""

    def __init__(self, *, neighbours: int, first: int) -> None:
        """Train the classifier on the images behind the first ones.

        Args:
            neighbours: How many similar images vote on what an image is.
            first: How many images are kept for the evaluation.
        """
        super().__init__("Recognises handwritten digits.")
        digits = datasets.load_digits()
        self.images = digits.images.reshape(len(digits.images), -1)
        self.labels = digits.target
        self.model = KNeighborsClassifier(neighbours)
        self.model.fit(self.images[first:], self.labels[first:])

    def process_element(self, element: Element) -> None:
        """Look at one image.

        Args:
            element: Its id is the image's number.
        """
        number = int(element.id)
        found = int(self.model.predict(self.images[number : number + 1])[0])
        label = int(self.labels[number])
        if found != label:
            LOGGER.info("not recognised", image=number, label=label, found=found)


@pyplugs.register
def evaluate(elements: list[str], neighbours: int, first: int) -> dict[str, int]:
    """Evaluate a batch of images; those that are done already are left out.

    Args:
        elements: The numbers of the images; without any, all of the *first*.
        neighbours: How many similar images vote.
        first: How many images are kept for the evaluation, and not trained on.

    Returns:
        How many were completed, skipped and failed.
    """
    batch = elements or [str(number) for number in range(first)]
    return Recognise(neighbours=neighbours, first=first).run(elements=batch)
