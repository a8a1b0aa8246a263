"""The caveats of a study, collected while it is analysed: what limits its numbers."""

from dataclasses import dataclass, field


@dataclass
class Problems:
    """What limits the numbers, in words, each once; whether a run or a file was left out."""

    texts: list[str] = field(default_factory=list)
    left_out: bool = False

    def note(self, text: str) -> None:
        """Something to know."""
        if text not in self.texts:
            self.texts.append(text)

    def leave_out(self, text: str) -> None:
        """Something that could not be analyzed."""
        self.left_out = True
        self.note(text)
