/* SPDX-License-Identifier: Apache-2.0 */
#include "drain.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* Copied out of the mapping before it is looked at. */
struct geometry {
	uint64_t offset[PYAUDIT_N_LANES], size[PYAUDIT_N_LANES];
};

static _Atomic uint64_t *
word_at(const struct drain_lane *lane, uint64_t position)
{
	return (_Atomic uint64_t *)(void *)(lane->base + (position & (lane->size - 1)));
}

static uint64_t
load_word(const struct drain_lane *lane, uint64_t position)
{
	return atomic_load_explicit(word_at(lane, position), memory_order_acquire);
}

static int
check_file(int fd, size_t *ret_size, const char **ret_why)
{
	const int wanted = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	const size_t size_max = PYAUDIT_RING_HEADER + 2 * (size_t)PYAUDIT_LANE_SIZE_MAX;
	struct statfs fs;
	struct stat st;
	int seals;

	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & wanted) != wanted) {
		*ret_why = "the ring is not a memfd sealed against resizing";
		return -EPERM;
	}
	/* Pages of hugetlbfs could be missing when touched: SIGBUS. */
	if (fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC) {
		*ret_why = "the ring is not ordinary shared memory";
		return -EPERM;
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < PYAUDIT_RING_HEADER ||
	    (uint64_t)st.st_size > size_max) {
		*ret_why = "the ring's size is out of bounds";
		return -EBADMSG;
	}
	*ret_size = (size_t)st.st_size;
	return 0;
}

static int
check_geometry(const struct geometry *g, size_t file_size, const char **ret_why)
{
	uint64_t end = PYAUDIT_RING_HEADER;

	for (unsigned i = 0; i < PYAUDIT_N_LANES; i++) {
		uint64_t size = g->size[i];

		if (size < PYAUDIT_LANE_SIZE_MIN || size > PYAUDIT_LANE_SIZE_MAX ||
		    (size & (size - 1)) != 0) {
			*ret_why = "a lane's size is not a power of two within limits";
			return -EBADMSG;
		}
		if (g->offset[i] != end) {
			*ret_why = "a lane is not where it belongs";
			return -EBADMSG;
		}
		end += size;
	}
	if (end != file_size) {
		*ret_why = "the ring's size is not that of its lanes";
		return -EBADMSG;
	}
	return 0;
}

/* Where to go on: the shared tail, moved past what an earlier daemon freed before it was killed.
 * Positions that cannot be are given up, which is a loss of unknown number, told as one. */
static void
take_up_tail(struct drain *drain, enum pyaudit_lane which)
{
	struct drain_lane *lane = &drain->lane[which];
	uint64_t head = atomic_load_explicit(&drain->ring->head[which], memory_order_acquire);
	uint64_t tail = atomic_load_explicit(&drain->ring->tail[which], memory_order_acquire);
	uint64_t freed;

	if (head % 8 != 0) {
		lane->broken = true;
		lane->n_corrupt++;
		return;
	}
	if (tail % 8 != 0 || head - tail > lane->size) {
		lane->tail = head;
		lane->n_corrupt++;
		return;
	}
	while (tail != head) {
		freed = pyaudit_claim_free(tail + lane->size, lane->size);
		if (load_word(lane, tail) != freed)
			break;
		tail += 8;
	}
	lane->tail = tail;
	atomic_store_explicit(&drain->ring->tail[which], tail, memory_order_release);
}

int
drain_open(struct drain *ret, int fd, const char **ret_why)
{
	struct drain drain = {0};
	struct geometry geometry;
	void *map;
	int r;

	*ret_why = "the ring could not be mapped";
	r = check_file(fd, &drain.map_size, ret_why);
	if (r < 0)
		return r;
	map = mmap(NULL, drain.map_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	drain.ring = map;

	if (drain.ring->magic != PYAUDIT_RING_MAGIC || drain.ring->version != PYAUDIT_RING_VERSION) {
		*ret_why = "the ring is of another version";
		r = -EPROTO;
		goto fail;
	}
	for (unsigned i = 0; i < PYAUDIT_N_LANES; i++) {
		const volatile struct pyaudit_ring *once = drain.ring;

		geometry.offset[i] = once->lane_offset[i];
		geometry.size[i] = once->lane_size[i];
	}
	r = check_geometry(&geometry, drain.map_size, ret_why);
	if (r < 0)
		goto fail;

	for (unsigned i = 0; i < PYAUDIT_N_LANES; i++) {
		struct drain_lane *lane = &drain.lane[i];
		uint64_t n_lost = atomic_load(&drain.ring->n_lost[i]);

		lane->base = (uint8_t *)map + geometry.offset[i];
		lane->size = geometry.size[i];
		lane->n_told = atomic_load(&drain.ring->n_told[i]);
		if (lane->n_told > n_lost)
			lane->n_told = n_lost;
		take_up_tail(&drain, i);
	}
	*ret = drain;
	return 0;

fail:
	(void)munmap(map, drain.map_size);
	return r;
}

void
drain_close(struct drain *drain)
{
	if (drain->ring != NULL)
		(void)munmap(drain->ring, drain->map_size);
	*drain = (struct drain){0};
}

/* Copies the record at @position out and frees its words: payload first, claim word last. */
static void
take_record(const struct drain_lane *lane, uint64_t position, uint32_t length, uint64_t *out)
{
	_Atomic uint64_t *word = word_at(lane, position);
	uint64_t freed = pyaudit_claim_free(position + lane->size, lane->size);

	for (uint32_t i = 1; i < length / 8; i++) {
		out[i - 1] = atomic_load_explicit(&word[i], memory_order_relaxed);
		atomic_store_explicit(&word[i], freed, memory_order_relaxed);
	}
	atomic_store_explicit(&word[0], freed, memory_order_release);
}

/* Claims are rounded up to whole words; the record's head says how long it is. */
static size_t
record_size(const uint64_t *record, uint32_t room)
{
	pyaudit_le32 size;

	if (room < sizeof(size))
		return room;
	memcpy(&size, record, sizeof(size));
	return pyaudit_get32(size) < room ? pyaudit_get32(size) : room;
}

static void
free_words(const struct drain_lane *lane, uint64_t position, uint32_t length)
{
	_Atomic uint64_t *word = word_at(lane, position);
	uint64_t freed = pyaudit_claim_free(position + lane->size, lane->size);

	for (uint32_t i = length / 8; i-- > 0;)
		atomic_store_explicit(&word[i], freed, memory_order_release);
}

/* A thread may have died, or not come further yet, between its claim and moving the head. Once the
 * claim word is freed no producer could tell how far to help, so we do. A committed record needs
 * none of that. */
static void
pass_head(struct drain *drain, enum pyaudit_lane which, uint32_t length)
{
	uint64_t head = drain->lane[which].tail;

	(void)atomic_compare_exchange_strong_explicit(&drain->ring->head[which], &head,
						      head + length, memory_order_acq_rel,
						      memory_order_relaxed);
}

/* A claim that a producer can have made at this position. */
static bool
claim_is_sane(const struct drain_lane *lane, uint64_t position, uint64_t word)
{
	uint64_t left = lane->size - (position & (lane->size - 1));
	uint32_t length = pyaudit_claim_length(word);

	if (word >> PYAUDIT_CLAIM_LAP_SHIFT != (position / lane->size & 0xffff))
		return false;
	if (length < 8 || length % 8 != 0 || length > left)
		return false;
	return (word & PYAUDIT_CLAIM_STATE) == PYAUDIT_CLAIM_PAD ? length == left
								 : length <= DRAIN_CLAIM_MAX;
}

/* Whether a claim that is not committed will never be. */
static bool
claim_is_dead(struct drain_lane *lane, uint64_t word, bool dead, uint64_t now_ns,
	      const struct drain_calls *calls)
{
	if (dead)
		return true;
	if (lane->stuck_since_ns == 0 || lane->stuck_at != lane->tail) {
		lane->stuck_at = lane->tail;
		lane->stuck_since_ns = now_ns;
		return false;
	}
	if (now_ns - lane->stuck_since_ns < DRAIN_STUCK_NS)
		return false;
	return !calls->alive(calls->data, pyaudit_claim_tid(word), lane->stuck_since_ns);
}

enum drain_outcome
drain_run(struct drain *drain, enum pyaudit_lane which, unsigned n_records, bool dead,
	  uint64_t now_ns, const struct drain_calls *calls)
{
	struct drain_lane *lane = &drain->lane[which];
	_Atomic uint64_t *shared_tail = &drain->ring->tail[which];
	uint64_t record[DRAIN_CLAIM_MAX / 8];
	enum drain_outcome outcome = DRAIN_BUDGET;
	unsigned n_done = 0;

	if (lane->broken)
		return DRAIN_BROKEN;
	while (n_done < n_records) {
		uint64_t word = load_word(lane, lane->tail);
		uint32_t length = pyaudit_claim_length(word);

		if ((word & PYAUDIT_CLAIM_STATE) == PYAUDIT_CLAIM_FREE) {
			outcome = DRAIN_EMPTY;
			break;
		}
		if (!claim_is_sane(lane, lane->tail, word)) {
			lane->broken = true;
			lane->n_corrupt++;
			outcome = DRAIN_BROKEN;
			break;
		}
		switch (word & PYAUDIT_CLAIM_STATE) {
		case PYAUDIT_CLAIM_CLAIMED:
			if (!claim_is_dead(lane, word, dead, now_ns, calls)) {
				outcome = DRAIN_STUCK;
				goto out;
			}
			/* Its thread may have committed before it went. */
			if (load_word(lane, lane->tail) != word)
				continue;
			pass_head(drain, which, length);
			free_words(lane, lane->tail, length);
			lane->n_torn++;
			break;
		case PYAUDIT_CLAIM_PAD:
			pass_head(drain, which, length);
			free_words(lane, lane->tail, length);
			break;
		default:
			take_record(lane, lane->tail, length, record);
			calls->record(calls->data, which, (const uint8_t *)record,
				      record_size(record, length - 8));
			break;
		}
		lane->tail += length;
		if (++n_done % DRAIN_TAIL_EVERY == 0)
			atomic_store_explicit(shared_tail, lane->tail, memory_order_release);
	}
out:
	atomic_store_explicit(shared_tail, lane->tail, memory_order_release);
	return outcome;
}

void
drain_all(struct drain *drain, enum pyaudit_lane which, bool dead, uint64_t now_ns,
	  const struct drain_calls *calls)
{
	const struct drain_lane *lane = &drain->lane[which];
	uint64_t left = atomic_load_explicit(&drain->ring->head[which], memory_order_acquire) -
			lane->tail;

	/* As far as the head is now; a head that lies further than a lane is a lie. One batch more
	 * takes what was claimed and never reached the head. */
	if (left > lane->size)
		left = lane->size;
	for (uint64_t start = lane->tail;;) {
		bool last = lane->tail - start >= left;

		if (drain_run(drain, which, DRAIN_TAIL_EVERY, dead, now_ns, calls) !=
			    DRAIN_BUDGET ||
		    last)
			break;
	}
}

bool
drain_pending(const struct drain *drain)
{
	for (unsigned i = 0; i < PYAUDIT_N_LANES; i++) {
		const struct drain_lane *lane = &drain->lane[i];

		if (!lane->broken &&
		    (atomic_load(word_at(lane, lane->tail)) & PYAUDIT_CLAIM_STATE) !=
			    PYAUDIT_CLAIM_FREE)
			return true;
	}
	return false;
}

bool
drain_sleep(struct drain *drain)
{
	atomic_store(&drain->ring->asleep, 1);
	if (!drain_pending(drain))
		return true;
	atomic_store(&drain->ring->asleep, 0);
	return false;
}

void
drain_adopt(struct drain *drain, const struct drain *old)
{
	for (unsigned i = 0; i < PYAUDIT_N_LANES; i++) {
		struct drain_lane *lane = &drain->lane[i];
		const struct drain_lane *before = &old->lane[i];
		uint64_t head = atomic_load(&drain->ring->head[i]);

		/* Words behind our place are freed as if they had been read here. */
		if (lane->size != before->size || before->tail - lane->tail > lane->size ||
		    head - before->tail > lane->size)
			continue;
		while (lane->tail != before->tail) {
			free_words(lane, lane->tail, 8);
			lane->tail += 8;
		}
		atomic_store_explicit(&drain->ring->tail[i], lane->tail, memory_order_release);
		lane->n_told = before->n_told;
		lane->n_torn = before->n_torn;
		lane->n_corrupt += before->n_corrupt;
	}
}

struct drain_losses
drain_take_losses(struct drain *drain, enum pyaudit_lane which)
{
	struct drain_lane *lane = &drain->lane[which];
	uint64_t n_lost = atomic_load_explicit(&drain->ring->n_lost[which], memory_order_acquire);
	struct drain_losses losses = {.n_torn = lane->n_torn, .n_corrupt = lane->n_corrupt};

	/* A counter that goes back is a lie; told again from there. */
	losses.n_full = n_lost >= lane->n_told ? n_lost - lane->n_told : 0;
	lane->n_told = n_lost;
	atomic_store_explicit(&drain->ring->n_told[which], n_lost, memory_order_release);
	lane->n_torn = lane->n_corrupt = 0;
	return losses;
}
