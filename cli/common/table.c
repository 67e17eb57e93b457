/* SPDX-License-Identifier: Apache-2.0 */
/* table.c: columns for terminals. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct cli_table {
    size_t column_count;
    const char *aligned; /* 'r' or 'l' a column */
    size_t widths[CLI_COLUMNS_MAX];
    char **cells; /* row by row */
    size_t cell_count;
    size_t cell_capacity;
};

/* A table that cannot be held cannot be printed: the program ends. */
static void *must_have(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "hd: no memory for a table\n");
        exit(HD_EXIT_FAILED);
    }
    return memory;
}

/* Characters, not bytes: continuation bytes of UTF-8 take no place. */
static size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80 ? 1 : 0;
    return width;
}

struct cli_table *cli_table_new(const char *const *titles, const char *aligned, size_t columns)
{
    hd_assert(columns <= CLI_COLUMNS_MAX && strlen(aligned) == columns);
    struct cli_table *table = must_have(hd_calloc(1, sizeof(*table)));
    table->column_count = columns;
    table->aligned = aligned;
    cli_table_row(table, titles);
    return table;
}

void cli_table_row(struct cli_table *table, const char *const *cells)
{
    for (size_t i = 0; i < table->column_count; i++) {
        if (table->cell_count == table->cell_capacity) {
            table->cell_capacity = table->cell_capacity > 0 ? table->cell_capacity * 2 : 64;
            table->cells =
                must_have(hd_realloc(table->cells, table->cell_capacity * sizeof(char *)));
        }
        size_t width = text_width(cells[i]);
        table->cells[table->cell_count++] = must_have(hd_strdup(cells[i]));
        table->widths[i] = width > table->widths[i] ? width : table->widths[i];
    }
}

/* 0: not a terminal, nothing is cut. */
static size_t line_width(void)
{
    struct winsize size;
    if (isatty(STDOUT_FILENO) == 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
        return 0;
    return size.ws_col;
}

/* At most `left` characters of the text. */
static size_t print_cut(const char *text, size_t left)
{
    size_t used = 0;
    for (; *text != '\0'; text++) {
        bool begins = ((unsigned char)*text & 0xc0) != 0x80;
        if (begins && used == left)
            break;
        used += begins ? 1 : 0;
        putchar(*text);
    }
    return used;
}

static size_t print_blanks(size_t count, size_t left)
{
    count = count < left ? count : left;
    for (size_t i = 0; i < count; i++)
        putchar(' ');
    return count;
}

static void print_row(const struct cli_table *table, char *const *cells, size_t width_max)
{
    size_t left = width_max > 0 ? width_max : SIZE_MAX;
    size_t count = table->column_count; /* no blanks behind the last text */
    while (count > 0 && cells[count - 1][0] == '\0')
        count--;
    for (size_t i = 0; i < count && left > 0; i++) {
        size_t blanks = table->widths[i] - text_width(cells[i]);
        bool right = table->aligned[i] == 'r';
        if (right)
            left -= print_blanks(blanks, left);
        left -= print_cut(cells[i], left);
        if (i + 1 < count)
            left -= print_blanks(right ? 2 : blanks + 2, left);
    }
    putchar('\n');
}

void cli_table_end(struct cli_table *table)
{
    size_t width = line_width();
    for (size_t at = 0; at < table->cell_count; at += table->column_count)
        print_row(table, table->cells + at, width);
    for (size_t i = 0; i < table->cell_count; i++)
        hd_free(table->cells[i]);
    hd_free(table->cells);
    hd_free(table);
}
