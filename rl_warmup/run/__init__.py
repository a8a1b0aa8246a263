"""One run and many: composed, executed, recorded, swept and launched."""
