/* SPDX-License-Identifier: Apache-2.0 */
#include "drain.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define WORD 8u

/* Copied out of the mapping before it is looked at. */
struct geometry {
	uint32_t bytes, size, claims, n_claims;
};

static _Atomic uint64_t *
claim_at(const struct drain_lane *lane, uint64_t place)
{
	return &lane->claims[pyaudit_place_index(place) & (lane->n_claims - 1)];
}

static uint64_t
free_word_at(const struct drain_lane *lane, uint64_t place)
{
	return pyaudit_claim_free(pyaudit_place_index(place), lane->n_claims);
}

static int
check_file(int fd, size_t *ret_size, const char **ret_why)
{
	const int wanted = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	const size_t size_max =
		PYAUDIT_RING_HEADER + PYAUDIT_N_LANES * 2 * (size_t)PYAUDIT_LANE_SIZE_MAX;
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

static bool
is_power_of_two(uint32_t n, uint32_t min, uint32_t max)
{
	return n >= min && n <= max && (n & (n - 1)) == 0;
}

static int
check_geometry(const struct geometry g[PYAUDIT_N_LANES], size_t file_size, const char **ret_why)
{
	size_t end = PYAUDIT_RING_HEADER;

	for (unsigned i = 0; i < PYAUDIT_N_LANES; i++) {
		if (!is_power_of_two(g[i].size, PYAUDIT_LANE_SIZE_MIN, PYAUDIT_LANE_SIZE_MAX)) {
			*ret_why = "a lane's size is not a power of two within limits";
			return -EBADMSG;
		}
		if (!is_power_of_two(g[i].n_claims, DRAIN_CLAIMS_MIN, g[i].size / WORD)) {
			*ret_why = "a lane's claims are not a power of two within limits";
			return -EBADMSG;
		}
		if (g[i].claims != end) {
			*ret_why = "a lane's claims are not where they belong";
			return -EBADMSG;
		}
		end += g[i].n_claims * WORD;
	}
	for (unsigned i = 0; i < PYAUDIT_N_LANES; i++) {
		if (g[i].bytes != end) {
			*ret_why = "a lane is not where it belongs";
			return -EBADMSG;
		}
		end += g[i].size;
	}
	if (end != file_size) {
		*ret_why = "the ring's size is not that of its lanes";
		return -EBADMSG;
	}
	return 0;
}

/* Goes on at the shared tail. A daemon that was killed behind its step of moving it has left claims
 * before it that are not free yet. */
static void
take_up(struct drain *drain, enum pyaudit_lane which)
{
	struct drain_lane *lane = &drain->lane[which];
	uint64_t tail = atomic_load_explicit(&drain->ring->tail[which], memory_order_acquire);
	uint64_t torn = atomic_load_explicit(&drain->ring->torn[which], memory_order_relaxed);
	uint64_t index = pyaudit_place_index(tail);

	lane->tail = lane->read = tail;
	lane->n_unwritten = index - (atomic_load(&drain->ring->written[which]) & PYAUDIT_PLACE_INDEX);
	if (lane->n_unwritten > index)
		lane->n_unwritten = 0; /* killed between writing this and the tail */
	lane->torn_from = pyaudit_place_index(torn);
	lane->n_torn = lane->told.n_torn = pyaudit_place_words(torn);
	lane->told.n_full = atomic_load(&drain->ring->n_told[which]);
	for (uint32_t i = 1; i <= lane->n_claims && i <= index; i++) {
		uint64_t place = pyaudit_place_make(index - i, 0);
		uint64_t freed = free_word_at(lane, place);
		uint64_t word = atomic_load_explicit(claim_at(lane, place), memory_order_acquire);

		if (pyaudit_claim_ahead(word, freed) == 0 && word != freed)
			atomic_store_explicit(claim_at(lane, place),
					      pyaudit_claim_free(index - i + lane->n_claims,
								 lane->n_claims),
					      memory_order_release);
	}
}

int
drain_open(struct drain *ret, int fd, const char **ret_why)
{
	struct drain drain = {0};
	struct geometry geometry[PYAUDIT_N_LANES];
	const volatile struct pyaudit_ring *once;
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
	once = drain.ring;
	for (unsigned i = 0; i < PYAUDIT_N_LANES; i++)
		geometry[i] = (struct geometry){once->lane_offset[i], once->lane_size[i],
						once->claims_offset[i], once->n_claims[i]};
	r = check_geometry(geometry, drain.map_size, ret_why);
	if (r < 0)
		goto fail;

	for (unsigned i = 0; i < PYAUDIT_N_LANES; i++) {
		struct drain_lane *lane = &drain.lane[i];

		lane->base = (uint8_t *)map + geometry[i].bytes;
		lane->n_words = geometry[i].size / WORD;
		lane->claims =
			(_Atomic uint64_t *)(void *)((uint8_t *)map + geometry[i].claims);
		lane->n_claims = geometry[i].n_claims;
		take_up(&drain, i);
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

/* Where a claim's payload stands, in words, and how long it is: see the header's skipped ends. */
static void
payload_of(const struct drain_lane *lane, uint64_t place, uint32_t n_words, uint32_t *ret_at,
	   uint32_t *ret_n)
{
	uint32_t at = pyaudit_place_words(place) & (lane->n_words - 1);
	uint32_t to_end = lane->n_words - at;
	bool skips = n_words > to_end;

	*ret_at = skips ? 0 : at;
	*ret_n = skips ? n_words - to_end : n_words;
}

/* A claim that a producer can have made at the place to be read. */
static bool
claim_is_sane(const struct drain_lane *lane, uint64_t word)
{
	uint32_t at, n, n_words = pyaudit_claim_words(word);

	if (pyaudit_claim_ahead(word, free_word_at(lane, lane->read)) != 0 ||
	    (word & PYAUDIT_CLAIM_STATE) == PYAUDIT_CLAIM_FREE || n_words > lane->n_words)
		return false;
	payload_of(lane, lane->read, n_words, &at, &n);
	return n > PYAUDIT_NUMBER_SIZE / WORD && n <= DRAIN_PAYLOAD_MAX / WORD;
}

/* Payloads are rounded up to whole words; the record's head says how long it is. */
static size_t
record_size(const uint64_t *record, uint32_t room)
{
	pyaudit_le32 size;

	memcpy(&size, record, sizeof(size));
	return pyaudit_get32(size) < room ? pyaudit_get32(size) : room;
}

static void
deliver(const struct drain_lane *lane, enum pyaudit_lane which, uint32_t n_words,
	const struct drain_calls *calls)
{
	uint64_t payload[DRAIN_PAYLOAD_MAX / WORD];
	const _Atomic uint64_t *from;
	uint32_t at, n;

	payload_of(lane, lane->read, n_words, &at, &n);
	from = (const _Atomic uint64_t *)(const void *)lane->base + at;
	for (uint32_t i = 0; i < n; i++)
		payload[i] = atomic_load_explicit(&from[i], memory_order_relaxed);
	calls->record(calls->data, which, payload[0], (const uint8_t *)&payload[1],
		      record_size(&payload[1], (n - 1) * WORD));
}

/* Whether a claim that is not committed will never be. */
static bool
claim_is_dead(struct drain_lane *lane, uint64_t word, bool dead, uint64_t now_ns,
	      const struct drain_calls *calls)
{
	if (dead)
		return true;
	if (lane->stuck_since_ns == 0 || lane->stuck_at != lane->read) {
		lane->stuck_at = lane->read;
		lane->stuck_since_ns = now_ns;
		return false;
	}
	if (now_ns - lane->stuck_since_ns < DRAIN_STUCK_NS)
		return false;
	return !calls->alive(calls->data, pyaudit_claim_tid(word), lane->stuck_since_ns);
}

struct drain_mark
drain_mark(const struct drain *drain, enum pyaudit_lane which)
{
	const struct drain_lane *lane = &drain->lane[which];

	return (struct drain_mark){.place = lane->read, .n_torn = lane->n_torn};
}

void
drain_written(struct drain *drain, enum pyaudit_lane which, const struct drain_mark *mark)
{
	atomic_store_explicit(&drain->ring->written[which], pyaudit_place_index(mark->place),
			      memory_order_release);
}

void
drain_release(struct drain *drain, enum pyaudit_lane which, const struct drain_mark *mark)
{
	drain_written(drain, which, mark);
	drain_release_unwritten(drain, which, mark);
}

void
drain_release_unwritten(struct drain *drain, enum pyaudit_lane which, const struct drain_mark *mark)
{
	struct drain_lane *lane = &drain->lane[which];
	uint64_t from = pyaudit_place_index(lane->tail), to = pyaudit_place_index(mark->place);
	uint64_t n = (to - from) & PYAUDIT_PLACE_INDEX;

	if (n == 0 || n > lane->n_claims)
		return;
	atomic_store_explicit(&drain->ring->torn[which], pyaudit_place_make(to, mark->n_torn),
			      memory_order_relaxed);
	lane->tail = mark->place;
	/* Once tail is stored the next daemon begins there, and frees what we may not come to. */
	atomic_store_explicit(&drain->ring->tail[which], mark->place, memory_order_release);
	for (uint64_t i = from; i < from + n; i++)
		atomic_store_explicit(claim_at(lane, pyaudit_place_make(i, 0)),
				      pyaudit_claim_free(i + lane->n_claims, lane->n_claims),
				      memory_order_release);
}

/* Whether the whole lap is read and waits to be released: no claim can be behind it. */
static bool
holds_a_lap(const struct drain_lane *lane)
{
	return pyaudit_place_index(lane->read - lane->tail) == lane->n_claims;
}

/* The record at the place to be read; moves that. DRAIN_BUDGET: there may be more. */
static enum drain_outcome
read_one(struct drain_lane *lane, enum pyaudit_lane which, bool dead, uint64_t now_ns,
	 const struct drain_calls *calls)
{
	_Atomic uint64_t *claim = claim_at(lane, lane->read);
	uint64_t word = atomic_load_explicit(claim, memory_order_acquire);

	if (word == free_word_at(lane, lane->read) || holds_a_lap(lane))
		return DRAIN_EMPTY;
	if (!claim_is_sane(lane, word)) {
		lane->broken = true;
		lane->n_corrupt++;
		return DRAIN_BROKEN;
	}
	switch (word & PYAUDIT_CLAIM_STATE) {
	case PYAUDIT_CLAIM_CLAIMED:
		if (!claim_is_dead(lane, word, dead, now_ns, calls))
			return DRAIN_STUCK;
		/* Its thread may have committed before it went. */
		if (!atomic_compare_exchange_strong_explicit(claim, &word, word | PYAUDIT_CLAIM_TORN,
							     memory_order_acq_rel,
							     memory_order_relaxed))
			return DRAIN_BUDGET;
		/* fall through */
	case PYAUDIT_CLAIM_TORN:
		if (pyaudit_place_index(lane->read) >= lane->torn_from)
			lane->n_torn++;
		break;
	default:
		deliver(lane, which, pyaudit_claim_words(word), calls);
		break;
	}
	lane->read = pyaudit_place_after(lane->read, pyaudit_claim_words(word));
	return DRAIN_BUDGET;
}

/*
 * Every attempt there was is lost or read: nothing stands in the lane, and its claims need not be looked at.
 * n_lost is loaded first, and an attempt has its number before anything else: where the two are equal, none
 * was under way when n_lost was loaded.
 */
static bool
is_read(const struct drain *drain, enum pyaudit_lane which)
{
	uint64_t n_lost = atomic_load_explicit(&drain->ring->n_lost[which], memory_order_seq_cst);
	uint64_t n_tried = atomic_load_explicit(&drain->ring->n_tried[which], memory_order_seq_cst);

	return ((n_tried - n_lost - pyaudit_place_index(drain->lane[which].read)) & PYAUDIT_PLACE_INDEX) ==
	       0;
}

enum drain_outcome
drain_run(struct drain *drain, enum pyaudit_lane which, unsigned n_records, bool dead,
	  uint64_t now_ns, const struct drain_calls *calls)
{
	struct drain_lane *lane = &drain->lane[which];
	enum drain_outcome outcome = DRAIN_BUDGET;
	struct drain_mark mark;

	if (lane->broken)
		return DRAIN_BROKEN;
	if (!dead && is_read(drain, which))
		return DRAIN_EMPTY;
	for (unsigned n = 1; outcome == DRAIN_BUDGET && n <= n_records; n++) {
		outcome = read_one(lane, which, dead, now_ns, calls);
		if (calls->hold || (outcome == DRAIN_BUDGET && n < n_records &&
				    n % DRAIN_RELEASE_EVERY != 0))
			continue;
		mark = drain_mark(drain, which);
		drain_release(drain, which, &mark);
	}
	return outcome;
}

void
drain_prefetch(const struct drain *drain)
{
	const struct drain_lane *lane = &drain->lane[PYAUDIT_LANE_ORDINARY];

	__builtin_prefetch(&drain->ring->head);
	__builtin_prefetch(claim_at(lane, lane->read));
	__builtin_prefetch(lane->base + (pyaudit_place_words(lane->read) & (lane->n_words - 1)) * WORD);
}

void
drain_all(struct drain *drain, enum pyaudit_lane which, bool dead, uint64_t now_ns,
	  const struct drain_calls *calls)
{
	/* What can be there now; whoever writes on meanwhile does not keep us. */
	(void)drain_run(drain, which, drain->lane[which].n_claims, dead, now_ns, calls);
}

bool
drain_pending(const struct drain *drain)
{
	for (unsigned i = 0; i < PYAUDIT_N_LANES; i++) {
		const struct drain_lane *lane = &drain->lane[i];

		if (!lane->broken && !is_read(drain, i) && !holds_a_lap(lane) &&
		    atomic_load(claim_at(lane, lane->read)) != free_word_at(lane, lane->read))
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
		uint32_t n = pyaudit_place_words(pyaudit_place_words(before->read) -
						 pyaudit_place_words(lane->tail));

		if (lane->n_words != before->n_words || lane->n_claims != before->n_claims ||
		    pyaudit_place_index(before->read - lane->tail) > lane->n_claims ||
		    n > lane->n_words)
			continue;
		lane->read = before->read;
		lane->n_torn = before->n_torn;
		lane->n_corrupt += before->n_corrupt;
		lane->told = before->told;
	}
}

/* A counter that goes back is a lie: told again from there. */
static uint64_t
untold(uint64_t total, uint64_t told)
{
	return total >= told ? total - told : total;
}

struct drain_losses
drain_take_losses(struct drain *drain, enum pyaudit_lane which, bool dead,
		  struct drain_losses *ret_total)
{
	struct drain_lane *lane = &drain->lane[which];
	const struct pyaudit_ring *ring = drain->ring;
	uint64_t n_lost = atomic_load_explicit(&ring->n_lost[which], memory_order_acquire);
	uint64_t n_tried = atomic_load_explicit(&ring->n_tried[which], memory_order_acquire);
	uint64_t n_left = n_tried - n_lost - pyaudit_place_index(lane->read);
	struct drain_losses told = lane->told;
	struct drain_losses total = {n_lost, lane->n_torn, lane->n_corrupt, lane->n_unwritten};

	/* Begun, but neither claimed nor counted as lost; or, in a broken lane, not found any more. An
	 * impossible difference is a lie. */
	if (dead && n_left <= n_tried && !lane->broken)
		total.n_torn += n_left;
	else if (dead && n_left <= n_tried && n_left > total.n_corrupt)
		total.n_corrupt = n_left;
	lane->told = total;
	if (ret_total != NULL)
		*ret_total = total;
	return (struct drain_losses){.n_full = untold(total.n_full, told.n_full),
				     .n_torn = untold(total.n_torn, told.n_torn),
				     .n_corrupt = untold(total.n_corrupt, told.n_corrupt),
				     .n_unwritten = untold(total.n_unwritten, told.n_unwritten)};
}

void
drain_told(struct drain *drain, enum pyaudit_lane which, uint64_t n_full)
{
	atomic_store_explicit(&drain->ring->n_told[which], n_full, memory_order_release);
}
