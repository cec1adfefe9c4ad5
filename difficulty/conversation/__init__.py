"""What a request consists of, in whichever API's form it came."""

from difficulty.conversation.body_messages import messages_of, tools_of
from difficulty.conversation.chat_form import as_chat
from difficulty.conversation.request_parts import PartKind, RequestPart, Role, read_parts

__all__ = ["RequestPart", "PartKind", "Role", "as_chat", "messages_of", "read_parts", "tools_of"]
