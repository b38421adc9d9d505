/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two ways to show the lines of the control socket: as text for people, as JSON for programs.
 * Each line is one write, so that it stays whole beside what others write to the same place.
 */
#ifndef CTL_WRITER_H
#define CTL_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct ctl_palette;

struct writer {
	int fd;
	int (*line)(struct writer *writer, char *line, size_t len);
	/* of the text writer */
	const struct ctl_palette *palette;
	bool terminal;
};

/* @out is a stream that nothing is buffered in. */
void writer_text_init(struct writer *writer, FILE *out);
void writer_json_init(struct writer *writer, FILE *out);

/* Writes one line of the daemon; may change it. 0; -EPIPE when the reader has gone; -EBADMSG for
 * what is no event (nothing is written); or another negative errno. */
static inline int
writer_line(struct writer *writer, char *line, size_t len)
{
	return writer->line(writer, line, len);
}

/* All of it, also to a descriptor that does not block. 0 or a negative errno. */
int writer_write_all(int fd, const char *bytes, size_t len);

/* The text writer's line for @line, its end included, malloc'ed, with
 * room for one byte more. NULL for what is no event.
 * @columns is the terminal's width that ordinary events are cut to, 0 for no cutting. */
char *text_render(char *line, size_t len, const struct ctl_palette *palette, unsigned columns,
		  size_t *ret_len);

/* @prefix and @text, every byte of @text that could do something to a terminal escaped, as one
 * line; line ends and tabs inside @text are escaped as well. */
void text_print(FILE *out, const char *prefix, const char *text);
/* @text escaped, line ends and tabs kept: for text of many lines. */
void text_print_block(FILE *out, const char *text, size_t len);
/* Padded with blanks to @columns, cut at it; 0: neither. */
void text_print_cell(FILE *out, const char *text, unsigned columns);
/* Columns that @text takes when escaped. */
unsigned text_width(const char *text);
/* Local time of an event's `time`, HH:MM:SS.mmm, or the text as it is. */
void text_clock(char *ret, size_t size, const char *time);

#endif
