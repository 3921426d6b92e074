"""Parts of a report: functions from findings to sections."""
