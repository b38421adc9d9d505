/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two ways to show the lines of the control socket: as text for people, as JSON for programs.
 * Whole lines are written at a time, as many as there are at once, so that they stay whole beside
 * what others write to the same place and a flood of them costs few calls.
 */
#ifndef CTL_WRITER_H
#define CTL_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "buf.h"

#define WRITER_PENDING_MAX 65536 /* flushed beyond this; one line may be longer */

struct ctl_palette;

struct writer {
	int fd;
	int (*line)(struct writer *writer, char *line, size_t len);
	struct buf pending;
	/* of the text writer */
	const struct ctl_palette *palette;
	bool terminal;
	bool returns;     /* the terminal wants a carriage return with each line end */
	unsigned columns; /* that ordinary events are cut to, 0: not cut */
};

/* @out is a stream that nothing is buffered in. */
void writer_text_init(struct writer *writer, FILE *out);
void writer_json_init(struct writer *writer, FILE *out);
void writer_fini(struct writer *writer);

/* Takes one line of the daemon, which it may change. 0; -EPIPE when the reader has gone; -EBADMSG
 * for what is no event (it is left out); or another negative errno. */
int writer_line(struct writer *writer, char *line, size_t len);
/* Writes what it took. To be called before waiting for more. */
int writer_flush(struct writer *writer);

/* All of it, also to a descriptor that does not block. 0 or a negative errno. */
int writer_write_all(int fd, const char *bytes, size_t len);

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
