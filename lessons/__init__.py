"""The course: what students read, click and solve. It talks to the engine as any client does, over its socket."""
