"""What a calibration split can promise: sensitivities, coverages, rates of false alarms."""
