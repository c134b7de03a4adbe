"""placeholder"""
def script(steps: list[dict[str, object]]) -> str:
    """placeholder"""
    return ""
