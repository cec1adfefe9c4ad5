"""What a request consists of, in whichever API's form it came."""

from difficulty.conversation.body_messages import messages_of
from difficulty.conversation.request_parts import PartKind, RequestPart, Role, read_parts

__all__ = ["RequestPart", "PartKind", "Role", "messages_of", "read_parts"]
