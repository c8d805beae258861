"""What Gait keeps on disk: key rings and traces, under $GAIT_HOME."""
