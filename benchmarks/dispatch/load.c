/* SPDX-License-Identifier: Apache-2.0 */
/* load.c: see load.h. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define QUEUE_ITEMS 65536
#define TIMEOUT_MS 20000

void check(enum hd_code code, const struct hd_err *err)
{
    if (code == HD_OK)
        return;
    fprintf(stderr, "bench_dispatch: %s\n", err->text);
    exit(1);
}

static void send_bytes(struct load *load, struct client *client, enum hd_lane lane,
                       const void *bytes, size_t size)
{
    struct hd_err err;
    (void)load;
    check(hd_net_send(client->net, lane, client->sequence[lane], bytes, size, TIMEOUT_MS, &err),
          &err);
}

static void send_request(struct load *load, struct client *client, struct hd_request *request)
{
    struct hd_buf out;
    struct hd_err err;
    hd_buf_init(&out, HD_MESSAGE_BYTES_MAX);
    request->token = TOKEN;
    request->worker = client->id;
    request->incarnation = 1;
    request->sequence = ++client->sequence[request->lane];
    request->run_id = "";
    if (request->kind == HD_REQUEST_REPORT)
        request->lease_sequence = ++client->sequence[HD_LANE_LEASE];
    check(hd_request_encode(request, &out, &err), &err);
    load->request_size = out.size;
    send_bytes(load, client, request->lane, out.data, out.size);
    hd_buf_release(&out);
}

static void send_hello(struct load *load, struct client *client)
{
    send_request(load, client,
                 &(struct hd_request){.kind = HD_REQUEST_HELLO,
                                      .lane = HD_LANE_CONTROL,
                                      .slots = 1,
                                      .root = client->id,
                                      .host = "bench"});
}

void load_ask(struct load *load, struct client *client)
{
    struct hd_request lease = {.kind = HD_REQUEST_LEASE,
                               .lane = HD_LANE_LEASE,
                               .root = client->id,
                               .wait_ms = HD_LEASE_WAIT_MS_MAX};
    struct hd_request report = {.kind = HD_REQUEST_REPORT,
                                .lane = HD_LANE_REPORT,
                                .root = client->id,
                                .wait_ms = 1000,
                                .lease_next = true,
                                .result = {.attempt = client->held,
                                           .outcome = HD_OUTCOME_OK,
                                           .loss = 0.5,
                                           .message = "",
                                           .info_json = "",
                                           .directory = "c0"}};
    send_request(load, client, client->holds ? &report : &lease);
}

void load_ping(struct load *load, struct client *client)
{
    struct hd_request ping = {.kind = HD_REQUEST_PING,
                              .lane = HD_LANE_CONTROL,
                              .held = &client->held,
                              .held_count = client->holds ? 1 : 0,
                              .lease_seen = client->sequence[HD_LANE_LEASE]};
    client->pinged = true;
    send_request(load, client, &ping);
}

static void take_reply(struct load *load, struct client *client, const struct hd_net_answer *answer)
{
    static struct hd_reply reply;
    struct hd_arena *arena;
    struct hd_err err;
    check(hd_arena_new(4 * HD_MESSAGE_BYTES_MAX, &arena, &err), &err);
    check(hd_reply_decode(answer->bytes, answer->size, arena, &reply, &err), &err);
    load->reply_size = answer->size;
    if (client->pinged && answer->lane == HD_LANE_CONTROL) {
        client->pinged = false;
        hd_arena_free(arena);
        return;
    }
    if (client->holds && reply.verdict == HD_VERDICT_ACCEPTED) {
        load->done++;
        client->holds = false;
    }
    if (reply.kind == HD_REPLY_LEASE) {
        client->held = reply.lease.attempt;
        client->holds = true;
        if (client->sent_us != 0)
            load->times_ms[load->time_count++] = (double)(hd_clock_us() - client->sent_us) * 1e-3;
        client->sent_us = 0;
    }
    hd_arena_free(arena);
    if (!load->paced || !client->holds)
        load_ask(load, client);
}

void load_begin(struct load *load, const char *address, unsigned worker_count, const void *bytes,
                size_t size)
{
    struct hd_err err;
    struct hd_net_security security = {.cert_file = NULL};
    load->worker_count = worker_count;
    load->bytes = bytes;
    load->size = size;
    load->paced = false;
    load->time_count = 0;
    load->done = 0;
    check(hd_queue_new(QUEUE_ITEMS, &load->answers, &err), &err);
    for (unsigned i = 0; i < worker_count; i++) {
        struct client *client = &load->clients[i];
        memset(client, 0, sizeof(*client));
        (void)hd_format(client->id, sizeof(client->id), "bench-%u", i);
        check(hd_net_client_open(address, HD_LANE_COUNT, i, &security, load->answers, &client->net,
                                 &err),
              &err);
        if (bytes == NULL)
            send_hello(load, client);
        else
            send_bytes(load, client, HD_LANE_REPORT, bytes, size);
    }
}

bool load_go_on(struct load *load, int64_t wait_ms)
{
    struct hd_net_answer *answer = hd_queue_pop(load->answers, wait_ms);
    if (answer == NULL)
        return false;
    if (answer->kind == HD_NET_FAILED)
        check(answer->err.code, &answer->err);
    struct client *client = &load->clients[answer->tag];
    if (load->bytes == NULL) {
        take_reply(load, client, answer);
    } else {
        load->done++;
        send_bytes(load, client, HD_LANE_REPORT, load->bytes, load->size);
    }
    hd_net_answer_free(answer);
    return true;
}

void load_end(struct load *load)
{
    for (unsigned i = 0; i < load->worker_count; i++)
        hd_net_client_close(load->clients[i].net);
    struct hd_net_answer *left;
    while ((left = hd_queue_pop(load->answers, 0)) != NULL)
        hd_net_answer_free(left);
    hd_queue_free(load->answers);
}

double load_cpu_seconds(void)
{
    struct timespec spent;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return (double)spent.tv_sec + (double)spent.tv_nsec * 1e-9;
}

struct load_speed load_run(struct load *load, const char *address, unsigned worker_count,
                           const void *bytes, size_t size, double seconds)
{
    load_begin(load, address, worker_count, bytes, size);
    int64_t start_us = hd_clock_us() + (int64_t)(seconds * 0.3e6);
    while (hd_clock_us() < start_us)
        (void)load_go_on(load, 1000);
    uint64_t warm = load->done;
    double cpu = load_cpu_seconds();
    start_us = hd_clock_us();
    while (hd_clock_us() < start_us + (int64_t)(seconds * 1e6))
        (void)load_go_on(load, 1000);
    double done = (double)(load->done - warm);
    struct load_speed speed = {.rate = done * 1e6 / (double)(hd_clock_us() - start_us),
                               .cpu_us = (load_cpu_seconds() - cpu) * 1e6 / done};
    load_end(load);
    return speed;
}
