"""What a student clicks: one class and one front-end file each."""
