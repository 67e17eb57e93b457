/* SPDX-License-Identifier: Apache-2.0 */
/*
 * embed.c: a build tool: writes a text file as a C array, so that programs carry it.
 * usage: embed INPUT OUTPUT NAME. Numbers, since ISO C bounds the length of string literals.
 */
#include <stdio.h>

static int embed(FILE *input, FILE *output, const char *name)
{
    fprintf(output, "/* made from a file of the source tree */\nextern const char %s[];\n", name);
    fprintf(output, "const char %s[] = {", name);
    size_t count = 0;
    for (int c = fgetc(input); c != EOF; c = fgetc(input)) {
        if (c == 0 || c > 127) {
            fprintf(stderr, "embed: byte %zu is not ASCII text\n", count);
            return 1;
        }
        fprintf(output, "%s%d,", count++ % 20 == 0 ? "\n    " : " ", c);
    }
    fprintf(output, "\n    0};\n");
    return ferror(input) != 0 || ferror(output) != 0;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: embed INPUT OUTPUT NAME\n");
        return 2;
    }
    FILE *input = fopen(argv[1], "rb");
    if (input == NULL) {
        perror(argv[1]);
        return 1;
    }
    FILE *output = fopen(argv[2], "wb");
    if (output == NULL) {
        perror(argv[2]);
        fclose(input);
        return 1;
    }
    int failed = embed(input, output, argv[3]);
    fclose(input);
    if (fclose(output) != 0)
        failed = 1;
    return failed;
}
