"""A server of Google Cloud Storage: gcp-storage-emulator, with what our client asks of the real one and it has not.

- "Only if absent" (`ifGenerationMatch=0`) is refused with 412 where the name is taken, when an upload begins and when it ends.
- What comes without a type gets Google's.
- `/token` gives whoever asks the token that federated identities are exchanged for.

usage: gcs.py PORT BUCKET
"""

import sys
from http import HTTPStatus

from gcp_storage_emulator import server
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects


def is_taken(request, response, storage, name):
    if request.query.get("ifGenerationMatch") != ["0"]:
        return False
    try:
        storage.get_file_obj(request.params["bucket_name"], name)
    except NotFound:
        return False
    response.status = HTTPStatus.PRECONDITION_FAILED
    said = "At least one of the pre-conditions you specified did not hold."
    reason = {"message": said, "domain": "global", "reason": "conditionNotMet", "location": "If-Match"}
    response.json({"error": {"code": 412, "message": said, "errors": [reason]}})
    return True


def only_if_absent(handler):
    def checked(request, response, storage, *args, **kwargs):
        if not is_taken(request, response, storage, request.query["name"][0]):
            handler(request, response, storage, *args, **kwargs)

    return checked


def typed(request, default=None, of=objects._content_type_from_request):
    return of(request, default) or "application/octet-stream"


def token(request, response, storage, *args, **kwargs):
    kind = "urn:ietf:params:oauth:token-type:access_token"
    response.json(
        {"access_token": "token", "issued_token_type": kind, "token_type": "Bearer", "expires_in": 3600}
    )


port, bucket = int(sys.argv[1]), sys.argv[2]
objects._content_type_from_request = typed
uploads = (
    r"^/upload/storage/v1/b/(?P<bucket_name>[-.\w]+)/o$",
    {server.POST: only_if_absent(objects.insert), server.PUT: only_if_absent(objects.upload_partial)},
)
server.HANDLERS = (uploads, (r"^/token$", {server.POST: token}), *server.HANDLERS)
server.create_server("127.0.0.1", port, in_memory=True, default_bucket=bucket).run()
