"""How well a model does, and how sure that is: measures, intervals, calibration; numpy in, numbers out."""
