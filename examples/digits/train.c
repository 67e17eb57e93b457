/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train.c: a complete target: trains a small network on handwritten digits for `budget` epochs.
 *
 * One hidden layer, softmax, cross-entropy, mini-batch gradient descent with momentum. It shows
 * the whole contract between Hyperdock and a target in one file that needs only the C library:
 *
 *   reads   params.json   the hyperparameters, a flat object; a missing one takes its default
 *           job.json      budget (epochs), budget_previous, seed, work_dir
 *           digits.csv    in data/ beside them, or in /data
 *   writes  work/digits.ckpt   weights, momentum, epoch and random state: the next budget goes on
 *                              from there, so 1, 3 and then 9 epochs are the same as 9 at once
 *           metrics.jsonl      one line an epoch
 *           loss.json          {"loss": validation error rate, "state": "ok", "info": {...}}
 *
 * All of them are in /hyperdock, or in $HYPERDOCK_DIR outside a container. SIGTERM ends the
 * current epoch (a fraction of a second), keeps the checkpoint and exits with 143.
 *
 * The first 1200 digits are trained on, the other 597 are the validation set.
 */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PIXELS 64
#define CLASSES 10
#define SAMPLES 1797
#define TRAIN_SAMPLES 1200
#define UNITS_MAX 1024
#define EPOCHS_MAX 100000
#define PATH_BYTES 4096
#define JSON_BYTES_MAX (1 << 20)
#define JSON_FIELDS_MAX 128
#define JSON_TEXT_MAX PATH_BYTES
#define JSON_DEPTH_MAX 32
#define CHECKPOINT_MAGIC "HDIGITS1"

static char hyperdock_dir[PATH_BYTES / 2] = "/hyperdock";
static volatile sig_atomic_t stop_wanted;

static void on_signal(int number)
{
    (void)number;
    stop_wanted = 1;
}

/* ---- files -------------------------------------------------------------------------------- */

static void path_join(char *path, const char *dir, const char *name)
{
    int size = snprintf(path, PATH_BYTES, "%s/%s", dir, name);
    if (size < 0 || size >= PATH_BYTES) {
        fprintf(stderr, "train: the path %s/%s is too long\n", dir, name);
        exit(1);
    }
}

/* Readers never see half a file: it is written beside and renamed. */
static bool write_file(const char *dir, const char *name, const void *bytes, size_t size)
{
    char path[PATH_BYTES], temporary[PATH_BYTES];
    path_join(path, dir, name);
    path_join(temporary, dir, ".writing");
    FILE *file = fopen(temporary, "wb");
    if (file == NULL) {
        fprintf(stderr, "train: cannot create %s: %s\n", temporary, strerror(errno));
        return false;
    }
    bool good = fwrite(bytes, 1, size, file) == size;
    good = fflush(file) == 0 && fsync(fileno(file)) == 0 && good;
    good = fclose(file) == 0 && good;
    if (!good || rename(temporary, path) != 0) {
        fprintf(stderr, "train: cannot write %s: %s\n", path, strerror(errno));
        return false;
    }
    return true;
}

/* The whole file, terminated; NULL when it is absent or larger than size_max. */
static char *read_file(const char *path, size_t size_max, size_t *ret_size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return NULL;
    char *bytes = malloc(size_max + 2);
    size_t size = bytes != NULL ? fread(bytes, 1, size_max + 1, file) : 0;
    bool good = bytes != NULL && !ferror(file) && size <= size_max;
    fclose(file);
    if (!good) {
        free(bytes);
        return NULL;
    }
    bytes[size] = '\0';
    *ret_size = size;
    return bytes;
}

static void json_escape(char *escaped, size_t escaped_size, const char *text)
{
    size_t at = 0;
    for (; *text != '\0' && at + 3 < escaped_size; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\')
            escaped[at++] = '\\';
        escaped[at++] = byte < 0x20 ? ' ' : (char)byte;
    }
    escaped[at] = '\0';
}

/* Says why, where the person and where Hyperdock look for it, and ends with failure. */
__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
    char reason[512], escaped[1100], text[1200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    fprintf(stderr, "train: %s\n", reason);
    json_escape(escaped, sizeof(escaped), reason);
    int size = snprintf(text, sizeof(text), "{\"state\": \"fail\", \"msg\": \"%s\"}\n", escaped);
    write_file(hyperdock_dir, "loss.json", text, (size_t)size);
    exit(1);
}

/* ---- JSON: the scalars of one object; what is nested in it is checked and skipped ---------- */

enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_NESTED };

struct json_field {
    char name[JSON_TEXT_MAX];
    enum json_kind kind;
    double number; /* of a bool: 0 or 1 */
    char text[JSON_TEXT_MAX];
};

struct json {
    size_t count;
    struct json_field fields[JSON_FIELDS_MAX];
};

static const char *json_space(const char *at)
{
    while (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')
        at++;
    return at;
}

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit = (char)(digit | 0x20);
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Code points beyond ASCII become '?': no name or value of ours has one. */
static const char *json_string(const char *at, char *text)
{
    static const char plain[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    size_t size = 0;
    if (*at++ != '"')
        return NULL;
    for (; *at != '"'; at++) {
        char byte = *at;
        if ((unsigned char)byte < 0x20 || size + 1 >= JSON_TEXT_MAX)
            return NULL; /* the end of the text is among the former */
        if (byte == '\\' && at[1] == 'u') {
            int code = 0;
            for (int i = 2; i < 6; i++) {
                if (hex_digit(at[i]) < 0)
                    return NULL;
                code = code * 16 + hex_digit(at[i]);
            }
            byte = code > 0 && code < 128 ? (char)code : '?';
            at += 5;
        } else if (byte == '\\') {
            const char *found = at[1] != '\0' ? strchr(plain, at[1]) : NULL;
            if (found == NULL)
                return NULL;
            byte = meant[found - plain];
            at++;
        }
        text[size++] = byte;
    }
    text[size] = '\0';
    return at + 1;
}

static const char *json_value(const char *at, struct json_field *field, int depth);

/* An object or array inside the object: its values are read and forgotten. */
static const char *json_nested(const char *at, struct json_field *field, int depth)
{
    char close = *at == '{' ? '}' : ']';
    struct json_field *inner = malloc(sizeof(*inner));
    if (inner == NULL || depth >= JSON_DEPTH_MAX) {
        free(inner);
        return NULL;
    }
    at = json_space(at + 1);
    while (at != NULL && *at != close) {
        if (close == '}') {
            at = json_string(at, inner->name);
            at = at != NULL ? json_space(at) : NULL;
            at = at != NULL && *at == ':' ? json_space(at + 1) : NULL;
        }
        at = at != NULL ? json_value(at, inner, depth + 1) : NULL;
        at = at != NULL ? json_space(at) : NULL;
        if (at == NULL || *at == close)
            break;
        at = *at == ',' ? json_space(at + 1) : NULL;
        if (at != NULL && *at == close)
            at = NULL;
    }
    free(inner);
    field->kind = JSON_NESTED;
    return at != NULL ? at + 1 : NULL;
}

static const char *json_value(const char *at, struct json_field *field, int depth)
{
    static const struct {
        const char *word;
        enum json_kind kind;
        double number;
    } words[] = {{"null", JSON_NULL, 0.0}, {"true", JSON_BOOL, 1.0}, {"false", JSON_BOOL, 0.0}};
    if (*at == '{' || *at == '[')
        return json_nested(at, field, depth);
    if (*at == '"') {
        field->kind = JSON_STRING;
        return json_string(at, field->text);
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strncmp(at, words[i].word, strlen(words[i].word)) == 0) {
            field->kind = words[i].kind;
            field->number = words[i].number;
            return at + strlen(words[i].word);
        }
    }
    if (strchr("-0123456789NI", *at) == NULL || *at == '\0')
        return NULL;
    char *end;
    field->kind = JSON_NUMBER;
    field->number = strtod(at, &end);
    return end > at ? end : NULL;
}

static bool json_parse(const char *at, struct json *json)
{
    json->count = 0;
    at = json_space(at);
    if (*at != '{')
        return false;
    at = json_space(at + 1);
    while (*at != '}') {
        if (json->count == JSON_FIELDS_MAX)
            return false;
        struct json_field *field = &json->fields[json->count++];
        at = json_string(at, field->name);
        at = at != NULL ? json_space(at) : NULL;
        at = at != NULL && *at == ':' ? json_value(json_space(at + 1), field, 0) : NULL;
        if (at == NULL)
            return false;
        at = json_space(at);
        if (*at == '}')
            break;
        if (*at != ',')
            return false;
        at = json_space(at + 1);
        if (*at != '"')
            return false;
    }
    return *json_space(at + 1) == '\0';
}

/* An absent file is an empty object; an unreadable one ends the program. */
static void json_load(const char *name, struct json *json)
{
    char path[PATH_BYTES];
    size_t size;
    path_join(path, hyperdock_dir, name);
    json->count = 0;
    if (access(path, F_OK) != 0)
        return;
    char *text = read_file(path, JSON_BYTES_MAX, &size);
    if (text == NULL || strlen(text) != size || !json_parse(text, json))
        fail("%s is not a JSON object that can be read", path);
    free(text);
}

static const struct json_field *json_find(const struct json *json, const char *name)
{
    for (size_t i = 0; i < json->count; i++) {
        if (strcmp(json->fields[i].name, name) == 0)
            return &json->fields[i];
    }
    return NULL;
}

static double json_number(const struct json *json, const char *name, double low, double high,
                          double otherwise)
{
    const struct json_field *field = json_find(json, name);
    if (field == NULL || field->kind == JSON_NULL)
        return otherwise;
    if (field->kind != JSON_NUMBER)
        fail("%s is not a number", name);
    if (!(field->number >= low && field->number <= high))
        fail("%s is %g: a number from %g to %g is expected", name, field->number, low, high);
    return field->number;
}

/* ---- what to train ------------------------------------------------------------------------- */

/* Compared byte by byte with the checkpoint's, so it is zeroed before it is filled. */
struct setup {
    double learning_rate, momentum, weight_decay;
    uint64_t seed;
    uint32_t units, batch_size, relu;
    uint32_t unused;
};

static void setup_read(struct setup *setup, uint32_t *ret_epochs, char *work_dir)
{
    static struct json params, job;
    json_load("params.json", &params);
    json_load("job.json", &job);
    memset(setup, 0, sizeof(*setup));
    setup->learning_rate = json_number(&params, "learning_rate", 0.0, 1e3, 0.01);
    setup->momentum = json_number(&params, "momentum", 0.0, 1.0, 0.9);
    setup->weight_decay = json_number(&params, "weight_decay", 0.0, 1e3, 1e-4);
    setup->units = (uint32_t)json_number(&params, "units", 1, UNITS_MAX, 64);
    setup->batch_size = (uint32_t)json_number(&params, "batch_size", 1, TRAIN_SAMPLES, 32);
    setup->relu = 1;
    const struct json_field *activation = json_find(&params, "activation");
    if (activation != NULL) {
        setup->relu = activation->kind == JSON_STRING && strcmp(activation->text, "relu") == 0;
        if (!setup->relu &&
            (activation->kind != JSON_STRING || strcmp(activation->text, "tanh") != 0))
            fail("activation is neither \"relu\" nor \"tanh\"");
    }
    setup->seed = (uint64_t)json_number(&job, "seed", 0, 9007199254740992.0, 0);
    *ret_epochs = (uint32_t)(json_number(&job, "budget", 0.5, EPOCHS_MAX, 27) + 0.5);
    const struct json_field *work = json_find(&job, "work_dir");
    if (work != NULL && work->kind == JSON_STRING && work->text[0] != '\0')
        snprintf(work_dir, PATH_BYTES, "%s", work->text);
    else
        path_join(work_dir, hyperdock_dir, "work");
    printf("train: learning_rate %g, momentum %g, weight_decay %g, units %u, batch_size %u, "
           "activation %s, seed %llu, to epoch %u\n",
           setup->learning_rate, setup->momentum, setup->weight_decay, setup->units,
           setup->batch_size, setup->relu ? "relu" : "tanh", (unsigned long long)setup->seed,
           *ret_epochs);
}

/* ---- data ------------------------------------------------------------------------------------ */

struct sample {
    float pixels[PIXELS];
    int label;
};

static struct sample samples[SAMPLES];

static void data_read(void)
{
    char beside[PATH_BYTES];
    path_join(beside, hyperdock_dir, "data/digits.csv");
    const char *const places[] = {beside, "/data/digits.csv", "data/digits.csv"};
    size_t size;
    char *text = NULL;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && text == NULL; i++)
        text = read_file(places[i], 4 << 20, &size);
    if (text == NULL)
        fail("there is no %s and no /data/digits.csv: mount the data directory", beside);
    const char *at = text;
    for (int row = 0; row < SAMPLES; row++) {
        for (int column = 0; column <= PIXELS; column++) {
            char *end;
            long value = strtol(at, &end, 10);
            char expected = column < PIXELS ? ',' : '\n';
            bool good = end > at && value >= 0 && value <= 16;
            if (!good || (*end != expected && !(column == PIXELS && *end == '\0')) ||
                (column == PIXELS && value >= CLASSES))
                fail("digits.csv: line %d, number %d is not what is expected", row + 1, column + 1);
            if (column < PIXELS)
                samples[row].pixels[column] = (float)value / 16.0f;
            else
                samples[row].label = (int)value;
            at = *end != '\0' ? end + 1 : end;
        }
    }
    free(text);
}

/* ---- the network ------------------------------------------------------------------------------
 */

/* Weights, their velocities and gradients lie in one block each: input weights by pixel, hidden
 * biases, output weights by unit, output biases. */
struct network {
    struct setup setup;
    uint64_t random;
    uint32_t epoch;
    size_t weight_count;
    float *weights, *velocities, *gradients;
};

static size_t weight_count(uint32_t units)
{
    return (size_t)PIXELS * units + units + (size_t)units * CLASSES + CLASSES;
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t random_u64(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static float random_symmetric(uint64_t *state, float limit)
{
    double unit = (double)(random_u64(state) >> 11) * 0x1p-53;
    return (float)(2.0 * unit - 1.0) * limit;
}

static void network_init(struct network *network)
{
    uint32_t units = network->setup.units;
    size_t inputs = (size_t)PIXELS * units, outputs = (size_t)units * CLASSES;
    network->random = network->setup.seed ^ UINT64_C(0x6869676974730a);
    network->epoch = 0;
    memset(network->weights, 0, network->weight_count * sizeof(float));
    memset(network->velocities, 0, network->weight_count * sizeof(float));
    /* Glorot and Bengio 2010; He et al. 2015 for relu. */
    float limit = sqrtf((network->setup.relu ? 6.0f : 3.0f) / (float)PIXELS);
    for (size_t i = 0; i < inputs; i++)
        network->weights[i] = random_symmetric(&network->random, limit);
    limit = sqrtf(6.0f / (float)(units + CLASSES));
    for (size_t i = 0; i < outputs; i++)
        network->weights[inputs + units + i] = random_symmetric(&network->random, limit);
}

static void network_alloc(struct network *network, const struct setup *setup)
{
    memset(network, 0, sizeof(*network));
    network->setup = *setup;
    network->weight_count = weight_count(setup->units);
    float *block = calloc(network->weight_count * 3, sizeof(float));
    if (block == NULL)
        fail("no memory for %zu weights", network->weight_count);
    network->weights = block;
    network->velocities = block + network->weight_count;
    network->gradients = block + 2 * network->weight_count;
}

/* hidden[units] and the class probabilities. */
static void forward(const struct network *network, const struct sample *sample, float *hidden,
                    float *probabilities)
{
    uint32_t units = network->setup.units;
    const float *input = network->weights;
    const float *bias = input + (size_t)PIXELS * units;
    const float *output = bias + units;
    const float *output_bias = output + (size_t)units * CLASSES;
    memcpy(hidden, bias, units * sizeof(float));
    for (int pixel = 0; pixel < PIXELS; pixel++) {
        float value = sample->pixels[pixel];
        if (value == 0.0f)
            continue; /* half of the picture is paper */
        const float *row = input + (size_t)pixel * units;
        for (uint32_t unit = 0; unit < units; unit++)
            hidden[unit] += value * row[unit];
    }
    for (uint32_t unit = 0; unit < units; unit++) {
        if (network->setup.relu)
            hidden[unit] = hidden[unit] < 0.0f ? 0.0f : hidden[unit]; /* a NaN stays one */
        else
            hidden[unit] = tanhf(hidden[unit]);
    }
    memcpy(probabilities, output_bias, CLASSES * sizeof(float));
    for (uint32_t unit = 0; unit < units; unit++) {
        for (int digit = 0; digit < CLASSES; digit++)
            probabilities[digit] += hidden[unit] * output[unit * CLASSES + (uint32_t)digit];
    }
    float highest = probabilities[0], sum = 0.0f;
    for (int digit = 1; digit < CLASSES; digit++)
        highest = probabilities[digit] > highest ? probabilities[digit] : highest;
    for (int digit = 0; digit < CLASSES; digit++) {
        probabilities[digit] = expf(probabilities[digit] - highest);
        sum += probabilities[digit];
    }
    for (int digit = 0; digit < CLASSES; digit++)
        probabilities[digit] /= sum;
}

/* Adds the gradient of one sample; hidden and delta are what forward() left. */
static void backward(struct network *network, const struct sample *sample, float *hidden,
                     float *delta)
{
    uint32_t units = network->setup.units;
    float *input = network->gradients;
    float *bias = input + (size_t)PIXELS * units;
    float *output = bias + units;
    float *output_bias = output + (size_t)units * CLASSES;
    const float *output_weights = network->weights + (output - network->gradients);
    delta[sample->label] -= 1.0f;
    for (int digit = 0; digit < CLASSES; digit++)
        output_bias[digit] += delta[digit];
    for (uint32_t unit = 0; unit < units; unit++) {
        float back = 0.0f, value = hidden[unit];
        for (int digit = 0; digit < CLASSES; digit++) {
            size_t at = unit * CLASSES + (uint32_t)digit;
            output[at] += value * delta[digit];
            back += output_weights[at] * delta[digit];
        }
        float slope = network->setup.relu ? (value > 0.0f ? 1.0f : 0.0f) : 1.0f - value * value;
        hidden[unit] = back * slope; /* from here on the error of the unit */
        bias[unit] += hidden[unit];
    }
    for (int pixel = 0; pixel < PIXELS; pixel++) {
        float value = sample->pixels[pixel];
        if (value == 0.0f)
            continue;
        float *row = input + (size_t)pixel * units;
        for (uint32_t unit = 0; unit < units; unit++)
            row[unit] += value * hidden[unit];
    }
}

static void descend(struct network *network, uint32_t batch)
{
    float rate = (float)network->setup.learning_rate, momentum = (float)network->setup.momentum;
    float decay = (float)network->setup.weight_decay, share = 1.0f / (float)batch;
    for (size_t i = 0; i < network->weight_count; i++) {
        float gradient = network->gradients[i] * share + decay * network->weights[i];
        network->velocities[i] = momentum * network->velocities[i] - rate * gradient;
        network->weights[i] += network->velocities[i];
    }
}

/* One pass over the training digits in a new order; returns the mean cross-entropy. */
static double train_epoch(struct network *network)
{
    static float hidden[UNITS_MAX], probabilities[CLASSES];
    static uint32_t order[TRAIN_SAMPLES];
    double entropy = 0.0;
    for (uint32_t i = 0; i < TRAIN_SAMPLES; i++)
        order[i] = i;
    for (uint32_t i = TRAIN_SAMPLES - 1; i > 0; i--) {
        uint32_t other = (uint32_t)(random_u64(&network->random) % (i + 1));
        uint32_t swapped = order[i];
        order[i] = order[other];
        order[other] = swapped;
    }
    for (uint32_t begin = 0; begin < TRAIN_SAMPLES; begin += network->setup.batch_size) {
        uint32_t end = begin + network->setup.batch_size;
        end = end < TRAIN_SAMPLES ? end : TRAIN_SAMPLES;
        memset(network->gradients, 0, network->weight_count * sizeof(float));
        for (uint32_t i = begin; i < end; i++) {
            const struct sample *sample = &samples[order[i]];
            forward(network, sample, hidden, probabilities);
            entropy -= log((double)probabilities[sample->label] + 1e-30);
            backward(network, sample, hidden, probabilities);
        }
        descend(network, end - begin);
    }
    network->epoch++;
    return entropy / TRAIN_SAMPLES;
}

/* Error rate on the validation digits; NaN when the network has diverged. */
static double validate(const struct network *network, double *ret_entropy)
{
    static float hidden[UNITS_MAX], probabilities[CLASSES];
    uint32_t wrong = 0;
    double entropy = 0.0;
    for (int i = TRAIN_SAMPLES; i < SAMPLES; i++) {
        forward(network, &samples[i], hidden, probabilities);
        int best = 0;
        for (int digit = 1; digit < CLASSES; digit++)
            best = probabilities[digit] > probabilities[best] ? digit : best;
        wrong += best != samples[i].label;
        entropy -= log((double)probabilities[samples[i].label] + 1e-30);
    }
    *ret_entropy = entropy / (SAMPLES - TRAIN_SAMPLES);
    return isfinite(entropy) ? (double)wrong / (SAMPLES - TRAIN_SAMPLES) : NAN;
}

/* ---- checkpoint -------------------------------------------------------------------------------
 */

struct checkpoint_head {
    char magic[8];
    struct setup setup;
    uint64_t random;
    uint32_t epoch;
    uint32_t weight_count;
    uint64_t sum; /* FNV-1a of the head with sum 0 and of what follows */
};

static uint64_t checksum(const unsigned char *bytes, size_t size)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static bool checkpoint_write(const struct network *network, const char *work_dir)
{
    struct checkpoint_head head;
    size_t floats = network->weight_count * sizeof(float);
    size_t size = sizeof(head) + 2 * floats;
    unsigned char *bytes = malloc(size);
    if (bytes == NULL)
        fail("no memory for the checkpoint");
    memset(&head, 0, sizeof(head));
    memcpy(head.magic, CHECKPOINT_MAGIC, sizeof(head.magic));
    head.setup = network->setup;
    head.random = network->random;
    head.epoch = network->epoch;
    head.weight_count = (uint32_t)network->weight_count;
    memcpy(bytes, &head, sizeof(head));
    memcpy(bytes + sizeof(head), network->weights, floats);
    memcpy(bytes + sizeof(head) + floats, network->velocities, floats);
    head.sum = checksum(bytes, size);
    memcpy(bytes, &head, sizeof(head));
    bool good = write_file(work_dir, "digits.ckpt", bytes, size);
    free(bytes);
    return good;
}

/* False, with the reason printed, when there is none that fits: training then starts anew. */
static bool checkpoint_read(struct network *network, const char *work_dir, uint32_t epoch_max)
{
    char path[PATH_BYTES];
    struct checkpoint_head head;
    size_t floats = network->weight_count * sizeof(float), size;
    size_t size_wanted = sizeof(head) + 2 * floats;
    path_join(path, work_dir, "digits.ckpt");
    unsigned char *bytes = (unsigned char *)read_file(path, 64 << 20, &size);
    if (bytes == NULL)
        return false;
    const char *reason = NULL;
    if (size != size_wanted) {
        reason = "it has another size";
    } else {
        memcpy(&head, bytes, sizeof(head));
        uint64_t sum = head.sum;
        head.sum = 0;
        memcpy(bytes, &head, sizeof(head));
        if (memcmp(head.magic, CHECKPOINT_MAGIC, sizeof(head.magic)) != 0 ||
            checksum(bytes, size) != sum)
            reason = "it is damaged";
        else if (memcmp(&head.setup, &network->setup, sizeof(head.setup)) != 0)
            reason = "it belongs to another configuration";
        else if (head.epoch > epoch_max)
            reason = "it is beyond the budget";
    }
    if (reason == NULL) {
        network->random = head.random;
        network->epoch = head.epoch;
        memcpy(network->weights, bytes + sizeof(head), floats);
        memcpy(network->velocities, bytes + sizeof(head) + floats, floats);
        printf("train: going on from epoch %u\n", network->epoch);
    } else {
        printf("train: %s is not used: %s\n", path, reason);
    }
    free(bytes);
    return reason == NULL;
}

/* ---- all together ------------------------------------------------------------------------------
 */

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* JSON has no NaN, but its readers of loss.json and metrics.jsonl know the literal. */
static void number_text(char *text, size_t size, double number)
{
    if (isnan(number))
        snprintf(text, size, "NaN");
    else
        snprintf(text, size, "%.17g", number);
}

static void report_epoch(FILE *metrics, const struct network *network, double error, double entropy,
                         double train_entropy)
{
    char texts[3][32];
    number_text(texts[0], sizeof(texts[0]), error);
    number_text(texts[1], sizeof(texts[1]), entropy);
    number_text(texts[2], sizeof(texts[2]), train_entropy);
    fprintf(metrics,
            "{\"step\": %u, \"loss\": %s, \"cross_entropy\": %s, \"train_cross_entropy\": %s}\n",
            network->epoch, texts[0], texts[1], texts[2]);
    fflush(metrics);
    printf("epoch %u: validation error %.4f, cross-entropy %.4f (training %.4f)\n", network->epoch,
           error, entropy, train_entropy);
    fflush(stdout);
}

static void report_loss(const struct network *network, double error, double entropy, double seconds)
{
    char texts[2][32], text[512];
    number_text(texts[0], sizeof(texts[0]), error);
    number_text(texts[1], sizeof(texts[1]), entropy);
    int size = snprintf(text, sizeof(text),
                        "{\"loss\": %s, \"state\": \"ok\", \"info\": {\"epochs\": %u, "
                        "\"cross_entropy\": %s, \"weights\": %zu, \"seconds\": %.3f}}\n",
                        texts[0], network->epoch, texts[1], network->weight_count, seconds);
    if (!write_file(hyperdock_dir, "loss.json", text, (size_t)size))
        exit(1);
}

int main(void)
{
    char work_dir[PATH_BYTES], path[PATH_BYTES];
    struct setup setup;
    struct network network;
    uint32_t epochs;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    const char *dir = getenv("HYPERDOCK_DIR");
    if (dir != NULL && strlen(dir) < sizeof(hyperdock_dir))
        memcpy(hyperdock_dir, dir, strlen(dir) + 1);

    double began = seconds_now(), entropy = NAN;
    setup_read(&setup, &epochs, work_dir);
    data_read();
    if (mkdir(work_dir, 0777) != 0 && errno != EEXIST)
        fail("cannot create the work directory %s: %s", work_dir, strerror(errno));
    path_join(path, hyperdock_dir, "metrics.jsonl");
    FILE *metrics = fopen(path, "a");
    if (metrics == NULL)
        fail("cannot write %s: %s", path, strerror(errno));

    network_alloc(&network, &setup);
    if (!checkpoint_read(&network, work_dir, epochs))
        network_init(&network);
    double error = validate(&network, &entropy);
    while (network.epoch < epochs && !isnan(error)) {
        double train_entropy = train_epoch(&network);
        error = validate(&network, &entropy);
        report_epoch(metrics, &network, error, entropy, train_entropy);
        if (!isnan(error) && !checkpoint_write(&network, work_dir))
            fail("the checkpoint could not be written to %s", work_dir);
        if (stop_wanted && network.epoch < epochs) {
            printf("train: told to stop at epoch %u, the checkpoint is written\n", network.epoch);
            return 143;
        }
    }
    fclose(metrics);
    report_loss(&network, error, entropy, seconds_now() - began);
    free(network.weights);
    return 0;
}
