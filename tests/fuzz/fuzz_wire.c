/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_wire.c: foreign bytes through every decoder. What decodes must encode again, and that must
 * decode to the same bytes: otherwise two programs could read one message differently.
 */
#include <hd/message.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Encodes `object` twice, with a decoding between, and compares. */
#define AGAIN(kind, object)                                                                        \
    do {                                                                                           \
        hd_assert(hd_##kind##_encode(object, &first, NULL) == HD_OK);                              \
        hd_assert(hd_##kind##_decode(first.data, first.size, arena, object, NULL) == HD_OK);       \
        hd_assert(hd_##kind##_encode(object, &second, NULL) == HD_OK);                             \
        hd_assert(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);  \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hd_request request;
    static struct hd_reply reply;
    static struct hd_ns_request ns_request;
    static struct hd_ns_reply ns_reply;
    struct hd_arena *arena;
    if (hd_arena_new(4 * HD_WIRE_ARENA_BYTES_MAX, &arena, NULL) != HD_OK)
        return 0;
    struct hd_buf first, second;
    hd_buf_init(&first, 2 * HD_MESSAGE_BYTES_MAX);
    hd_buf_init(&second, 2 * HD_MESSAGE_BYTES_MAX);
    if (hd_request_decode(data, size, arena, &request, NULL) == HD_OK)
        AGAIN(request, &request);
    else if (hd_reply_decode(data, size, arena, &reply, NULL) == HD_OK)
        AGAIN(reply, &reply);
    else if (hd_ns_request_decode(data, size, arena, &ns_request, NULL) == HD_OK)
        AGAIN(ns_request, &ns_request);
    else if (hd_ns_reply_decode(data, size, arena, &ns_reply, NULL) == HD_OK)
        AGAIN(ns_reply, &ns_reply);
    hd_buf_release(&first);
    hd_buf_release(&second);
    hd_arena_free(arena);
    return 0;
}
