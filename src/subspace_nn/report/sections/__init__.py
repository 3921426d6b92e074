"""The parts of a report, each made from the records that it needs; None where there are none."""
