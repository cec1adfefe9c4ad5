"""The difficulty model as an estimator of scikit-learn: lists of texts in, probabilities out.

from difficulty.sklearn import DifficultyClassifier, near_groups

classifier = DifficultyClassifier(recipe="fast").fit(texts, cheap_failed)
p_fails = classifier.predict_proba(new_texts)[:, 1]
"""

from difficulty.sklearn.classifier import DifficultyClassifier
from difficulty.sklearn.text_groups import near_groups

__all__ = ["DifficultyClassifier", "near_groups"]
