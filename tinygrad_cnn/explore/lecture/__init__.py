"""The chapters of the report: the lecture on convolutional networks, told on one's own model."""
