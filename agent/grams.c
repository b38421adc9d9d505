/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A value is asked at each place, or each stride-th, whether a gram of the table stands there: a filter
 * of bits says no nearly always, the table leads to the texts with that gram, and these are compared.
 *
 * Where the grams are few or alike, the table has masks, by which 16 or 32 places are asked at once, with
 * one shuffle of bytes for each half of each byte of a gram (the idea is Hyperscan's Teddy), or 64, with one
 * look into a table of 64 for each byte. They let pass a few places more than there are grams; the filter
 * has the next word.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "grams.h"
#include "vectors.h"

#define get16(v) pyaudit_load16((v).b)
#define get32(v) pyaudit_load32((v).b)
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

struct search {
	const uint8_t *base;
	const struct pyaudit_grams *grams;
	const char *s;
	size_t len;
	void (*found)(void *data, const struct pyaudit_list *rules);
	void *data;
};

static inline const void *
at(const uint8_t *base, pyaudit_le32 offset)
{
	return base + get32(offset);
}

static inline uint32_t
gram_at(const char *s, size_t width)
{
	const uint8_t *p = (const uint8_t *)s;

	return width == 4   ? pyaudit_load32(p) | 0x20202020u
	       : width == 2 ? ((uint32_t)p[0] | (uint32_t)p[1] << 8) | 0x2020u
			    : p[0] | 0x20u;
}

static inline bool
in_filter(const struct search *search, uint32_t gram)
{
	const uint8_t *filter = at(search->base, search->grams->filter);
	uint32_t bit = pyaudit_gram_hash(gram) >> (32u - search->grams->filter_bits);

	return (filter[bit / 8] >> (bit % 8) & 1) != 0;
}

#define FOLD UINT64_C(0x2020202020202020)

/* Are these the bytes of a text, which is folded? */
static inline bool
is_folded(const char *s, const char *text, size_t len)
{
	uint64_t differ = 0;
	size_t k = 0;

	if (len >= 8) {
		for (; k + 8 < len && differ == 0; k += 8)
			differ = (pyaudit_load64(s + k) | FOLD) ^ pyaudit_load64(text + k);
		/* may overlap the one before */
		return (differ | ((pyaudit_load64(s + len - 8) | FOLD) ^ pyaudit_load64(text + len - 8))) == 0;
	}
	for (; k < len; k++)
		differ |= (uint64_t)(uint8_t)((s[k] | 0x20) ^ text[k]);
	return differ == 0;
}

/* Is the text with this gram there? */
static bool
literal_fits(const struct search *search, const struct pyaudit_gram_literal *literal, size_t pos)
{
	size_t len = get16(literal->len), before = get16(literal->pos);

	return before <= pos && len <= search->len - (pos - before) &&
	       is_folded(search->s + pos - before, at(search->base, literal->text), len);
}

static __attribute__((noinline)) void
gram_hit(const struct search *search, size_t pos, uint32_t value)
{
	const struct pyaudit_grams *grams = search->grams;
	const struct pyaudit_gram *table = at(search->base, grams->table);
	const struct pyaudit_gram_literal *literals = at(search->base, grams->literals);
	uint32_t mask = (UINT32_C(1) << grams->table_bits) - 1;
	uint32_t slot = pyaudit_gram_hash(value) >> 7;
	uint32_t n;

	for (;; slot++) {
		n = get32(table[slot & mask].n);
		if (n == 0)
			return;
		if (get32(table[slot & mask].gram) == value)
			break;
	}
	literals += get32(table[slot & mask].first);
	for (; n > 0; n--, literals++)
		if (literal_fits(search, literals, pos))
			search->found(search->data, &literals->rules);
}

static inline void
look_up_gram(const struct search *search, size_t pos, size_t width)
{
	uint32_t gram = gram_at(search->s + pos, width);

	if (UNLIKELY(in_filter(search, gram)))
		gram_hit(search, pos, gram);
}

static inline void
scan_filter(const struct search *search, size_t width)
{
	size_t stride = search->grams->stride, pos = 0;

	/* Four at a time, and one question for them. */
	for (; pos + 3 * stride + width <= search->len; pos += 4 * stride) {
		bool any = false;

		for (size_t k = 0; k < 4; k++)
			any |= in_filter(search, gram_at(search->s + pos + k * stride, width));
		for (size_t k = 0; UNLIKELY(any) && k < 4; k++)
			look_up_gram(search, pos + k * stride, width);
	}
	for (; pos + width <= search->len; pos += stride)
		look_up_gram(search, pos, width);
}

#ifdef __x86_64__

/* The places from @pos on whose bit is set in @places. */
static __attribute__((noinline)) void
look_up_places(const struct search *search, size_t pos, uint64_t places, size_t width)
{
	for (; places != 0; places &= places - 1)
		look_up_gram(search, pos + (unsigned)__builtin_ctzll(places), width);
}

/* Of the bytes that are asked for 16 and 32 places at a time. */
static inline const struct pyaudit_gram_masks *
first_masks(const uint8_t *base, const struct pyaudit_grams *grams)
{
	const struct pyaudit_gram_masks *masks = at(base, grams->masks);

	return masks + grams->first_mask;
}

struct masks16 {
	__m128i low[4], high[4];
};

/* The groups that have byte @k of a gram at each of the places from @s on. */
static inline __attribute__((always_inline, target("ssse3"))) __m128i
groups16(const struct masks16 *masks, const char *s, size_t k)
{
	const __m128i half = _mm_set1_epi8(0x0f);
	__m128i bytes = _mm_loadu_si128((const void *)(s + k));
	__m128i low = _mm_shuffle_epi8(masks->low[k], _mm_and_si128(bytes, half));
	__m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), half);

	return _mm_and_si128(low, _mm_shuffle_epi8(masks->high[k], high));
}

/* Where of 16 places, @s being that of the first byte that is asked of, a gram may stand. */
static inline __attribute__((always_inline, target("ssse3"))) uint32_t
places16(const struct masks16 *masks, const char *s, size_t n_masks)
{
	__m128i groups = groups16(masks, s, 0);

	if (n_masks > 1)
		groups = _mm_and_si128(groups, groups16(masks, s, 1));
	if (n_masks > 2)
		groups = _mm_and_si128(groups, groups16(masks, s, 2));
	if (n_masks > 3)
		groups = _mm_and_si128(groups, groups16(masks, s, 3));
	return ~(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(groups, _mm_setzero_si128())) & 0xffff;
}

static inline __attribute__((always_inline, target("ssse3"))) void
scan16(const struct search *search, size_t n_masks)
{
	size_t width = search->grams->width, first = search->grams->first_mask;
	const struct pyaudit_gram_masks *tables = first_masks(search->base, search->grams);
	size_t n = search->len - width + 1, pos = 0;
	struct masks16 masks;
	uint32_t places;

	for (size_t k = 0; k < n_masks; k++) {
		masks.low[k] = _mm_loadu_si128((const void *)tables[k].low);
		masks.high[k] = _mm_loadu_si128((const void *)tables[k].high);
	}
	if (n < 16) {
		char padded[16 + 4] = {0};

		memcpy(padded, search->s, search->len);
		places = places16(&masks, padded + first, n_masks) & ((UINT32_C(1) << n) - 1);
		if (UNLIKELY(places != 0))
			look_up_places(search, 0, places, width);
		return;
	}
	for (; pos < n; pos += 16) {
		if (pos > n - 16)
			pos = n - 16; /* overlaps the step before */
		places = places16(&masks, search->s + pos + first, n_masks);
		if (UNLIKELY(places != 0))
			look_up_places(search, pos, places, width);
	}
}

static __attribute__((noinline, target("ssse3"))) void
scan_by_16(const struct search *search)
{
	switch (search->grams->n_masks) {
	case 1:
		scan16(search, 1);
		break;
	case 2:
		scan16(search, 2);
		break;
	case 3:
		scan16(search, 3);
		break;
	default:
		scan16(search, 4);
		break;
	}
}

struct masks32 {
	__m256i low[4], high[4];
};

static inline __attribute__((always_inline, target("avx2"))) void
load32(struct masks32 *masks, const struct pyaudit_gram_masks *tables, size_t k)
{
	masks->low[k] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)tables[k].low));
	masks->high[k] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)tables[k].high));
}

/* Written out, for else compilers keep the masks in memory. */
static inline __attribute__((always_inline, target("avx2"))) void
load_masks32(struct masks32 *masks, const struct pyaudit_gram_masks *tables, size_t n_masks)
{
	load32(masks, tables, 0);
	if (n_masks > 1)
		load32(masks, tables, 1);
	if (n_masks > 2)
		load32(masks, tables, 2);
	if (n_masks > 3)
		load32(masks, tables, 3);
}

/* The same for 32 places. @ascii: of a byte that is not, none; a step less. */
static inline __attribute__((always_inline, target("avx2"))) __m256i
groups32(const struct masks32 *masks, const char *s, size_t k, bool ascii)
{
	const __m256i half = _mm256_set1_epi8(0x0f);
	__m256i bytes = _mm256_loadu_si256((const void *)(s + k));
	__m256i low;

	__asm__("" : "+x"(bytes)); /* one load for both halves, not two */
	low = _mm256_shuffle_epi8(masks->low[k], ascii ? bytes : _mm256_and_si256(bytes, half));
	bytes = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), half);
	return _mm256_and_si256(low, _mm256_shuffle_epi8(masks->high[k], bytes));
}

/* Those that have all the bytes that are asked for. */
static inline __attribute__((always_inline, target("avx2"))) __m256i
all_groups32(const struct masks32 *masks, const char *s, size_t n_masks, bool ascii)
{
	__m256i groups = groups32(masks, s, 0, ascii);

	if (n_masks > 1)
		groups = _mm256_and_si256(groups, groups32(masks, s, 1, ascii));
	if (n_masks > 2)
		groups = _mm256_and_si256(groups, groups32(masks, s, 2, ascii));
	if (n_masks > 3)
		groups = _mm256_and_si256(groups, groups32(masks, s, 3, ascii));
	return groups;
}

/* Places that are asked before any is looked at: most texts have nothing at all of them. */
#define PART (16 * 32)

/* At which of @n places, 32 at least and PART at most, a gram may stand: bits of @ret, of which the last word
 * is for the last 32 places. False: at none. */
static inline __attribute__((always_inline, target("avx2"))) bool
places32(const struct pyaudit_gram_masks *tables, const char *s, size_t n, size_t n_masks, uint32_t *ret)
{
	const char *last = s + n - 32;
	uint32_t any = 0, places;
	struct masks32 masks;
	__m256i groups;

	load_masks32(&masks, tables, n_masks);
	for (;; s += 32) {
		s = s < last ? s : last; /* overlaps the step before */
		groups = _mm256_cmpeq_epi8(all_groups32(&masks, s, n_masks, false), _mm256_setzero_si256());
		places = ~(uint32_t)_mm256_movemask_epi8(groups);
		*ret++ = places;
		any |= places;
		if (s == last)
			return any != 0;
	}
}

/* The same; @s is where the first byte that is asked of the first place stands. */
static __attribute__((noinline, target("avx2"))) bool
places_by_32(const struct pyaudit_gram_masks *tables, const char *s, size_t n, size_t n_masks, uint32_t *ret)
{
	if (LIKELY(n_masks == 3))
		return places32(tables, s, n, 3, ret);
	if (n_masks == 2)
		return places32(tables, s, n, 2, ret);
	return n_masks == 1 ? places32(tables, s, n, 1, ret) : places32(tables, s, n, 4, ret);
}

static __attribute__((noinline)) void
look_up_part(const struct search *search, size_t start, size_t n, const uint32_t *places)
{
	for (size_t pos = 0; pos < n; pos += 32, places++) {
		if (pos > n - 32)
			pos = n - 32;
		if (*places != 0)
			look_up_places(search, start + pos, *places, search->grams->width);
	}
}

/* False: a text too short for these vectors, or they are not there. */
static inline bool
scan_by_32(const struct search *search)
{
	const struct pyaudit_grams *grams = search->grams;
	const struct pyaudit_gram_masks *tables = first_masks(search->base, search->grams);
	const size_t width = grams->width, len = search->len;
	const char *s = search->s + grams->first_mask;
	uint32_t places[PART / 32];

	if (len < 31 + width || pyaudit_vectors() < PYAUDIT_VECTORS_32)
		return false;
	for (size_t n = len - width + 1, start = 0, part; start < n; start += part) {
		part = n - start < PART ? n - start : PART;
		if (part < 32) {
			start = n - 32;
			part = 32;
		}
		if (UNLIKELY(places_by_32(tables, s + start, part, grams->n_masks, places)))
			look_up_part(search, start, part, places);
	}
	return true;
}

#define TARGET_64 target("avx512f,avx512bw,avx512vbmi,gfni")

/* Where in its table each byte is looked up: bits 0 to 4 and bit 6. */
static inline __attribute__((always_inline, TARGET_64)) __m512i
folded64(__m512i bytes)
{
	return _mm512_gf2p8affine_epi64_epi8(bytes, _mm512_set1_epi64(0x0102040810400000), 0);
}

/* The bytes @there from @s on, so. */
static inline __attribute__((always_inline, TARGET_64)) __m512i
load64(__mmask64 there, const char *s)
{
	return folded64(_mm512_maskz_loadu_epi8(there, s));
}

/* The groups that have byte @k of a gram at each of the places. */
static inline __attribute__((always_inline, TARGET_64)) __m512i
groups64(const struct pyaudit_gram_whole *whole, __m512i folded, size_t k)
{
	return _mm512_permutexvar_epi8(folded, _mm512_loadu_si512(whole[k].groups));
}

/* At which of the places @there, from @s on, a gram of @width bytes may stand. */
static inline __attribute__((always_inline, TARGET_64)) __mmask64
places64(const struct pyaudit_gram_whole *whole, __mmask64 there, const char *s, size_t width)
{
	__m512i groups = groups64(whole, load64(there, s), 0);

	if (width > 1)
		groups = _mm512_and_si512(groups, groups64(whole, load64(there, s + 1), 1));
	if (width > 2) {
		groups = _mm512_and_si512(groups, groups64(whole, load64(there, s + 2), 2));
		groups = _mm512_and_si512(groups, groups64(whole, load64(there, s + 3), 3));
	}
	return _mm512_mask_test_epi8_mask(there, groups, groups);
}

/* At which of @n places, 1 at least and PART at most, a gram of @width bytes may stand. False: at none. */
static inline __attribute__((always_inline, TARGET_64)) bool
all_places64(const struct pyaudit_gram_whole *whole, const char *s, size_t n, size_t width, uint64_t *ret)
{
	uint64_t any = 0;

	for (;; s += 64, n -= 64) {
		*ret = places64(whole, pyaudit_first_64(n), s, width);
		any |= *ret++;
		if (n <= 64)
			return any != 0;
	}
}

static __attribute__((noinline, TARGET_64)) bool
places_by_64(const struct pyaudit_gram_whole *whole, const char *s, size_t n, size_t width, uint64_t *ret)
{
	if (LIKELY(width == 4))
		return all_places64(whole, s, n, 4, ret);
	return width == 2 ? all_places64(whole, s, n, 2, ret) : all_places64(whole, s, n, 1, ret);
}

/* Looks up the places of a part of the text from @start on. */
static __attribute__((noinline)) void
look_up_part_64(const struct search *search, size_t start, size_t n, const uint64_t *places)
{
	for (size_t i = 0; i * 64 < n; i++)
		if (places[i] != 0)
			look_up_places(search, start + i * 64, places[i], search->grams->width);
}

static inline void
scan_by_64(const struct search *search)
{
	const struct pyaudit_gram_whole *whole = at(search->base, search->grams->whole);
	size_t width = search->grams->width, n = search->len - width + 1, part;
	uint64_t places[PART / 64];

	for (size_t start = 0; start < n; start += part) {
		part = n - start < PART ? n - start : PART;
		if (UNLIKELY(places_by_64(whole, search->s + start, part, width, places)))
			look_up_part_64(search, start, part, places);
	}
}

/* Of a text that has one place at least. */
static inline void
scan_masks(const struct search *search)
{
	if (LIKELY(pyaudit_vectors() == PYAUDIT_VECTORS_64))
		scan_by_64(search);
	else if (!LIKELY(scan_by_32(search)))
		scan_by_16(search);
}

/* Of the places @there: where a gram of 4 bytes may stand, or a slash or dot before another. */
static inline __attribute__((always_inline, TARGET_64)) __mmask64
suspects64(const struct pyaudit_gram_whole *whole, __mmask64 there, const char *s)
{
	const __m512i slash = folded64(_mm512_set1_epi8('/')), but_lowest = _mm512_set1_epi8((char)0xfe);
	__m512i here = _mm512_xor_si512(load64(there, s), slash);
	__m512i next = _mm512_xor_si512(load64(there, s + 1), slash);

	return places64(whole, there, s, 4) |
	       _mm512_mask_testn_epi8_mask(there, _mm512_or_si512(here, next), but_lowest);
}

/* May no gram of 4 bytes stand in this path of 4 bytes at least, and no slash before a slash or a dot? Both are
 * seen in the same bytes. */
static __attribute__((noinline, TARGET_64)) bool
path_has_none_64(const struct pyaudit_gram_whole *whole, const char *s, size_t len)
{
	const char *last = s + len - 3;
	__mmask64 any = pyaudit_is_odd_slash(last[0], last[1]) || pyaudit_is_odd_slash(last[1], last[2]);
	size_t n = len - 3;

	for (; n > 64; s += 64, n -= 64)
		any |= suspects64(whole, ~UINT64_C(0), s);
	return (any | suspects64(whole, pyaudit_first_64(n), s)) == 0;
}

/* The same question, of PYAUDIT_ONE_LOOK_32 bytes at least. No is the answer where one is not ASCII. */
static inline __attribute__((always_inline, target("avx2"))) bool
path_has_none32(const struct pyaudit_gram_masks *tables, size_t first, size_t n_masks, const char *s, size_t len)
{
	const char *end = s + len - 3, *last = end - 32;
	/* What was found so far, and all bytes: in their highest bits is whether they are ASCII. */
	__m256i found = _mm256_setzero_si256(), all = found, groups;
	struct masks32 masks;

	if (((end[0] | end[1] | end[2]) & 0x80) != 0 || pyaudit_is_odd_slash(end[0], end[1]) ||
	    pyaudit_is_odd_slash(end[1], end[2]))
		return false;
	load_masks32(&masks, tables, n_masks);
	for (;; s += 32) {
		s = s < last ? s : last; /* overlaps the step before */
		groups = all_groups32(&masks, s + first, n_masks, true);
		found = _mm256_or_si256(found, _mm256_or_si256(groups, pyaudit_odd_slashes_at(s)));
		all = _mm256_or_si256(all, _mm256_loadu_si256((const void *)s));
		if (s == last)
			return _mm256_testz_si256(found, found) != 0 && _mm256_movemask_epi8(all) == 0;
	}
}

static __attribute__((noinline, target("avx2"))) bool
path_has_none_32(const struct pyaudit_gram_masks *tables, size_t first, size_t n_masks, const char *s, size_t len)
{
	if (LIKELY(n_masks == 3))
		return path_has_none32(tables, first, 3, s, len);
	if (n_masks == 2)
		return path_has_none32(tables, first, 2, s, len);
	return n_masks == 1 ? path_has_none32(tables, first, 1, s, len) : path_has_none32(tables, first, 4, s, len);
}

bool
pyaudit_grams_none_in_path(const uint8_t *base, const struct pyaudit_grams *grams, const char *s, size_t len)
{
	enum pyaudit_vectors vectors = pyaudit_vectors();

	if (get32(grams->masks) == 0 || UNLIKELY(len < 4) || UNLIKELY(s[0] == '.'))
		return false;
	if (LIKELY(vectors == PYAUDIT_VECTORS_64))
		return path_has_none_64(at(base, grams->whole), s, len);
	return vectors == PYAUDIT_VECTORS_32 && LIKELY(len >= PYAUDIT_ONE_LOOK_32) &&
	       path_has_none_32(first_masks(base, grams), grams->first_mask, grams->n_masks, s, len);
}

#else

static inline void
scan_masks(const struct search *search)
{
	(void)search;
	abort();
}

bool
pyaudit_grams_none_in_path(const uint8_t *base, const struct pyaudit_grams *grams, const char *s, size_t len)
{
	(void)base;
	(void)grams;
	(void)s;
	(void)len;
	return false;
}

#endif

void
pyaudit_grams_scan(const uint8_t *base, const struct pyaudit_grams *grams, const char *s, size_t len,
		   void (*found)(void *data, const struct pyaudit_list *rules), void *data)
{
	const struct search search = {base, grams, s, len, found, data};

	if (UNLIKELY(len < grams->width))
		return;
	if (LIKELY(get32(grams->masks) != 0) && pyaudit_vectors() != PYAUDIT_VECTORS_NONE)
		scan_masks(&search);
	else if (grams->width == 4)
		scan_filter(&search, 4);
	else if (grams->width == 2)
		scan_filter(&search, 2);
	else
		scan_filter(&search, 1);
}
