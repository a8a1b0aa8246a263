"""The files of runs and studies: the only door between training and analysis. runs/README.md describes them."""
