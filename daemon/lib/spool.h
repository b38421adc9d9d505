/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sink cannot write now, on disk and in order: files DIR/NAME.N, each a head and items one
 * behind the other. The oldest file is read first and removed when it is through. A spool outlives the
 * daemon; what a crash left half written at the end of a file is cut off. It is not synced: a machine
 * that loses its power may lose what was written last.
 *
 * Bounded: beyond three quarters of its size it takes urgent items alone (alerts and losses), beyond all
 * of it none. Where a daemon is killed between writing a batch out of the spool and taking it out, that
 * batch comes twice.
 *
 * Used by one thread, the sink's.
 */
#ifndef LIB_SPOOL_H
#define LIB_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "log.h"

#define SPOOL_SIZE_MIN (1u << 20)
#define SPOOL_SEGMENTS 8          /* a file holds this part of the spool's size */
#define SPOOL_FILES_MAX 64        /* those of a spool that was larger once */
#define SPOOL_ITEM_MAX (4u << 20) /* bytes of one item */
#define SPOOL_BUFFER (256u << 10) /* read at a time; grows for a longer item */
#define SPOOL_BATCH 256           /* items read at a time */

struct spool;

/* 0, or a negative errno where the directory cannot be had. What stands in it is taken up. */
int spool_open(struct spool **ret, const char *dir, const char *name, uint64_t size_max,
	       struct log *log);
void spool_close(struct spool *spool);

uint64_t spool_n_items(const struct spool *spool);
uint64_t spool_used(const struct spool *spool); /* bytes on disk */
unsigned spool_percent(const struct spool *spool);
/* By weight: items of files that somebody damaged, since the last call. */
uint64_t spool_take_lost(struct spool *spool);

enum spool_outcome {
	SPOOL_TAKEN = 0,
	SPOOL_E_FULL = 1, /* for an item of this urgency */
};
/* Appends an item. Or a negative errno: the disk does not take it. */
int spool_add(struct spool *spool, const void *bytes, size_t size, uint64_t weight, bool urgent);

/* The oldest items, in order; valid until the next call. 0: there is none. */
size_t spool_gather(struct spool *spool, struct iovec iov[SPOOL_BATCH], uint64_t weights[SPOOL_BATCH]);
/* Takes the first @n of them out. */
void spool_pop(struct spool *spool, size_t n);

#endif
