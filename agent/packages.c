/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A distribution says what it installed: RECORD of *.dist-info, installed-files.txt or top_level.txt
 * of *.egg-info. A file that is listed belongs to those that list it; one that is not, to those that
 * own the nearest directory above it, so that code a package writes into its own directory is its
 * own. What two list belongs to both: a listing can add a name to another's files, not take one away.
 *
 * A table has a key for each directory with code, and for files only in directories that several
 * share and at the top. It is made in one mapping from its start to its end.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "packages.h"
#include "clock.h"
#include "status.h"
#include "verdict.h"

#define ARENA_SIZE (8u << 20) /* address space while a table is made; memory as it is touched */
#define NAME_MAX_KEPT 255
#define PATH_KEPT 1024 /* bytes of a path that is not in normal form */
#define LOOK_MS 50
#define LIST_SIZE 32768 /* bytes of a directory that are read at once */
/* A directory that changed so short a time before it was read may be in the middle of a change. */
#define SETTLES_MS 2000
#define SALT_FILE 0x5bd1e9955bd1e995u

struct key {
	uint64_t hash; /* 0: none */
	uint32_t set;  /* a distribution, or from PACKAGES_DISTS_MAX on one of the shared */
};

struct shared {
	uint16_t dist[PACKAGES_OWNERS_MAX];
	uint32_t n;
	struct pyaudit_value names[PACKAGES_OWNERS_MAX];
};

/* A source tree that was installed by a link to it. */
struct editable {
	const char *path;
	uint32_t len, dist;
};

enum listing {
	LISTS_NOTHING, /* an *.egg-info that is a file, or an *.egg */
	DIST_INFO,
	EGG_INFO,
	EGG,
};

struct dist {
	const char *entry; /* its name in the directory, NUL terminated */
	enum listing listing;
	bool lists_files; /* what it has is listed file by file */
};

struct table {
	size_t size; /* of the mapping */
	ino_t ino;
	struct timespec mtime;
	uint64_t again_ms; /* when to read it again though it has not changed; UINT64_MAX: never */
	struct key *keys;
	uint32_t n_keys, mask;
	uint32_t n_dists, n_shared, n_editable;
	struct pyaudit_value names[PACKAGES_DISTS_MAX];
	struct dist dists[PACKAGES_DISTS_MAX];
	struct shared shared[PACKAGES_SHARED_MAX];
	struct editable editable[PACKAGES_EDITABLE_MAX];
};

/* A directory with packages. Its path is written before it is in the list. */
struct root {
	struct root *next;
	_Atomic(struct table *) table; /* what it has; NULL: not asked yet */
	_Atomic(struct table *) links; /* its editables alone */
	_Atomic uint64_t looked_ms;
	_Atomic uint32_t n_read;
	bool is_site;
	uint32_t len;
	char path[PACKAGES_ROOT_MAX + 1];
};

static _Atomic(struct root *) roots;
static _Atomic uint32_t n_roots;

/* While a table is made. */
struct builder {
	struct table *table;
	char *at, *end;	 /* of the arena */
	char *text;	 /* room for one listing */
	uint32_t n_text;
	int fd;
	bool has_shared; /* directories that several share: the second pass is for their files */
};

static void *
take(struct builder *b, size_t size)
{
	char *p = b->at;

	size = (size + 15) & ~(size_t)15;
	if (size > (size_t)(b->end - p))
		return NULL;
	b->at += size;
	return p;
}

static uint64_t
dir_hash(const char *s, size_t len)
{
	uint64_t hash = pyaudit_text_hash(s, len);

	return hash != 0 ? hash : 1;
}

static uint64_t
file_hash(const char *s, size_t len)
{
	return dir_hash(s, len) ^ SALT_FILE;
}

static struct key *
find(const struct table *table, uint64_t hash)
{
	uint32_t i = (uint32_t)hash;

	while (table->keys[i & table->mask].hash != 0 && table->keys[i & table->mask].hash != hash)
		i++;
	return &table->keys[i & table->mask];
}

static bool
make_room_for_key(struct builder *b)
{
	struct table *table = b->table;
	struct key *old = table->keys;
	uint32_t n_old = table->mask + 1, n = old == NULL ? 256 : 2 * n_old;

	if (old != NULL && table->n_keys < n_old / 2)
		return true;
	if (table->n_keys >= PACKAGES_KEYS_MAX)
		return false;
	table->keys = take(b, n * sizeof(*old));
	if (table->keys == NULL) {
		table->keys = old;
		return old != NULL && table->n_keys < n_old - 1;
	}
	table->mask = n - 1;
	for (uint32_t i = 0; old != NULL && i < n_old; i++)
		if (old[i].hash != 0)
			*find(table, old[i].hash) = old[i];
	return true;
}

static bool
set_has(const struct table *table, uint32_t set, unsigned dist)
{
	const struct shared *shared;

	if (set < PACKAGES_DISTS_MAX)
		return set == dist;
	shared = &table->shared[set - PACKAGES_DISTS_MAX];
	for (unsigned i = 0; i < shared->n; i++)
		if (shared->dist[i] == dist)
			return true;
	return false;
}

/* The set with one more; the same where there is no room. */
static uint32_t
set_with(struct table *table, uint32_t set, unsigned dist)
{
	struct shared wanted = {.n = 0};

	if (set < PACKAGES_DISTS_MAX)
		wanted.dist[wanted.n++] = (uint16_t)set;
	else
		wanted = table->shared[set - PACKAGES_DISTS_MAX];
	if (wanted.n == PACKAGES_OWNERS_MAX)
		return set;
	wanted.dist[wanted.n++] = (uint16_t)dist;
	for (uint32_t i = 0; i < table->n_shared; i++)
		if (table->shared[i].n == wanted.n &&
		    memcmp(table->shared[i].dist, wanted.dist, wanted.n * sizeof(*wanted.dist)) == 0)
			return PACKAGES_DISTS_MAX + i;
	if (table->n_shared == PACKAGES_SHARED_MAX)
		return set;
	for (unsigned i = 0; i < wanted.n; i++)
		wanted.names[i] = table->names[wanted.dist[i]];
	table->shared[table->n_shared] = wanted;
	return PACKAGES_DISTS_MAX + table->n_shared++;
}

static void
claim(struct builder *b, uint64_t hash, unsigned dist)
{
	struct key *key;

	if (!make_room_for_key(b))
		return;
	key = find(b->table, hash);
	if (key->hash == 0) {
		*key = (struct key){hash, dist};
		b->table->n_keys++;
	} else if (!set_has(b->table, key->set, dist)) {
		key->set = set_with(b->table, key->set, dist);
		b->has_shared = true;
	}
}

static size_t
directory_len(const char *path, size_t len)
{
	while (len > 0 && path[len - 1] != '/')
		len--;
	return len > 0 ? len - 1 : 0;
}

static bool
ends_with(const char *s, size_t len, const char *end)
{
	size_t n = strlen(end);

	return len >= n && memcmp(s + len - n, end, n) == 0;
}

/* One file that a distribution lists, relative to the directory. */
static void
claim_file(struct builder *b, unsigned dist, const char *path, size_t len, bool second)
{
	char normal[NAME_MAX_KEPT * 2];
	size_t dir;

	if (!ends_with(path, len, ".py"))
		return;
	if (len > 2 && path[0] == '.') {
		/* ./x is ours, ../bin/x is not below the directory. */
		len = pyaudit_path_normalise(normal, sizeof(normal), path, len);
		path = normal;
		if (len == SIZE_MAX || normal[0] == '.')
			return;
	}
	if (path[0] == '/')
		return;
	dir = directory_len(path, len);
	if (dir == 0) {
		if (!second)
			claim(b, file_hash(path, len), dist);
	} else if (!second) {
		claim(b, dir_hash(path, dir), dist);
	} else {
		const struct key *key = find(b->table, dir_hash(path, dir));

		if (key->hash != 0 && key->set >= PACKAGES_DISTS_MAX)
			claim(b, file_hash(path, len), dist);
	}
}

/* Reads a file below the directory into b->text. False: there is none, or it is too long. */
static bool
read_listing(struct builder *b, const struct dist *dist, const char *name)
{
	char path[NAME_MAX_KEPT + 32];
	size_t n_entry = strlen(dist->entry), n_name = strlen(name);
	ssize_t n;
	int fd;

	if (n_entry + n_name + 2 > sizeof(path))
		return false;
	memcpy(path, dist->entry, n_entry);
	path[n_entry] = '/';
	memcpy(path + n_entry + 1, name, n_name + 1);
	fd = openat(b->fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return false;
	for (b->n_text = 0; b->n_text < PACKAGES_RECORD_MAX; b->n_text += (uint32_t)n) {
		n = read(fd, b->text + b->n_text, PACKAGES_RECORD_MAX - b->n_text);
		if (n <= 0)
			break;
	}
	(void)close(fd);
	return b->n_text > 0;
}

/* The next line, without its end. */
static bool
next_line(const struct builder *b, uint32_t *at, const char **ret, size_t *ret_len)
{
	const char *end;

	if (*at >= b->n_text)
		return false;
	*ret = b->text + *at;
	end = memchr(*ret, '\n', b->n_text - *at);
	*ret_len = end != NULL ? (size_t)(end - *ret) : b->n_text - *at;
	*at += (uint32_t)*ret_len + 1;
	while (*ret_len > 0 && ((*ret)[*ret_len - 1] == '\r' || (*ret)[*ret_len - 1] == ' '))
		--*ret_len;
	return true;
}

/* Rows of path, hash and size; a path with a comma is quoted. */
static void
claim_record(struct builder *b, unsigned dist, bool second)
{
	uint32_t at = 0;
	const char *line, *end;
	size_t len;

	while (next_line(b, &at, &line, &len)) {
		if (len > 0 && line[0] == '"') {
			line++;
			end = memchr(line, '"', len - 1);
		} else {
			end = memchr(line, ',', len);
		}
		claim_file(b, dist, line, end != NULL ? (size_t)(end - line) : len, second);
	}
}

/* Paths relative to the *.egg-info: ../x/__init__.py. */
static void
claim_installed(struct builder *b, unsigned dist, bool second)
{
	uint32_t at = 0;
	const char *line;
	size_t len;

	while (next_line(b, &at, &line, &len))
		if (len > 3 && memcmp(line, "../", 3) == 0)
			claim_file(b, dist, line + 3, len - 3, second);
}

static bool
is_there(const struct builder *b, const char *name)
{
	struct stat st;

	return status_at(b->fd, name, &st) == 0;
}

/* A package or a module, by its name in the directory. */
static void
claim_top(struct builder *b, unsigned dist, const char *name, size_t len)
{
	char module[NAME_MAX_KEPT + 4];

	if (len == 0 || len > NAME_MAX_KEPT || name[0] == '/' || name[0] == '.')
		return;
	memcpy(module, name, len);
	memcpy(module + len, ".py", 3);
	claim(b, dir_hash(name, len), dist);
	if (memchr(name, '/', len) == NULL)
		claim(b, file_hash(module, len + 3), dist);
}

/* Length of the name in NAME-VERSION.dist-info, NAME.egg-info, NAME-VERSION-py3.8.egg. */
static size_t
raw_name_len(const char *entry)
{
	const char *dot = strrchr(entry, '.');
	size_t len = dot != NULL ? (size_t)(dot - entry) : strlen(entry);

	for (size_t i = 1; i + 1 < len; i++)
		if (entry[i] == '-' && entry[i + 1] >= '0' && entry[i + 1] <= '9')
			return i;
	return len;
}

/* zope.interface in the namespace zope is zope/interface. False: no such directory. */
static bool
claim_in_namespace(struct builder *b, unsigned dist, const char *space, size_t len)
{
	const char *entry = b->table->dists[dist].entry;
	char path[NAME_MAX_KEPT + 1];
	size_t n = raw_name_len(entry);

	if (n > NAME_MAX_KEPT)
		return false;
	for (size_t i = 0; i < n; i++)
		path[i] = (char)(strchr(".-_", entry[i]) != NULL ? '/' : entry[i]);
	path[n] = '\0';
	if (n <= len || memcmp(path, space, len) != 0 || path[len] != '/' || !is_there(b, path))
		return false;
	claim_top(b, dist, path, n);
	return true;
}

/* Namespaces that the distribution shares with others: their names in @ret, each in lines. */
static size_t
read_namespaces(struct builder *b, const struct dist *dist, char *ret, size_t size)
{
	if (!read_listing(b, dist, "namespace_packages.txt") || b->n_text > size)
		return 0;
	memcpy(ret, b->text, b->n_text);
	return b->n_text;
}

static bool
has_line(const char *lines, size_t n_lines, const char *wanted, size_t len)
{
	for (size_t i = 0; i + len <= n_lines; i++)
		if ((i == 0 || lines[i - 1] == '\n') && memcmp(lines + i, wanted, len) == 0 &&
		    (i + len == n_lines || lines[i + len] == '\n' || lines[i + len] == '\r'))
			return true;
	return false;
}

static void
claim_top_levels(struct builder *b, unsigned dist, const char *spaces, size_t n_spaces)
{
	uint32_t at = 0;
	const char *line;
	size_t len;

	while (next_line(b, &at, &line, &len))
		if (!has_line(spaces, n_spaces, line, len) ||
		    !claim_in_namespace(b, dist, line, len))
			claim_top(b, dist, line, len);
}

/* Nothing says what it has: a package or module of its own name, if there is one. */
static void
claim_by_name(struct builder *b, unsigned dist)
{
	const char *entry = b->table->dists[dist].entry;
	char name[2][NAME_MAX_KEPT + 4];
	size_t n = raw_name_len(entry);

	if (n > NAME_MAX_KEPT)
		return;
	for (size_t i = 0; i < n; i++) {
		char c = entry[i] == '-' ? '_' : entry[i];

		name[0][i] = c;
		name[1][i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
	}
	for (unsigned i = 0; i < 2; i++) {
		name[i][n] = '\0';
		if (!is_there(b, name[i])) {
			memcpy(name[i] + n, ".py", 4);
			if (!is_there(b, name[i]))
				continue;
		}
		claim_top(b, dist, name[i], n);
		return;
	}
}

static void
claim_all(struct builder *b, unsigned i, bool second)
{
	struct dist *dist = &b->table->dists[i];
	char spaces[512];
	size_t n_spaces;

	if (second && !dist->lists_files)
		return;
	if (dist->listing == EGG) {
		claim(b, dir_hash(dist->entry, strlen(dist->entry)), i);
		return;
	}
	if (dist->listing == DIST_INFO && read_listing(b, dist, "RECORD")) {
		dist->lists_files = true;
		claim_record(b, i, second);
		return;
	}
	if (dist->listing == EGG_INFO && read_listing(b, dist, "installed-files.txt")) {
		dist->lists_files = true;
		claim_installed(b, i, second);
		return;
	}
	n_spaces = dist->listing != LISTS_NOTHING ? read_namespaces(b, dist, spaces, sizeof(spaces))
						  : 0;
	if (dist->listing != LISTS_NOTHING && read_listing(b, dist, "top_level.txt"))
		claim_top_levels(b, i, spaces, n_spaces);
	else
		claim_by_name(b, i);
}

static const char *
find_text(const char *text, size_t len, const char *wanted)
{
	return memmem(text, len, wanted, strlen(wanted));
}

static unsigned
hex_digit(char c)
{
	return c >= '0' && c <= '9' ? (unsigned)(c - '0')
	       : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (unsigned)((c | 0x20) - 'a') + 10
							: 16;
}

/* {"dir_info": {"editable": true}, "url": "file:///srv/project"} */
static void
read_direct_url(struct builder *b, unsigned dist)
{
	struct table *table = b->table;
	const char *url, *end, *is_editable;
	size_t n = 0;
	char *path;

	if (table->n_editable == PACKAGES_EDITABLE_MAX ||
	    !read_listing(b, &table->dists[dist], "direct_url.json"))
		return;
	is_editable = find_text(b->text, b->n_text, "\"editable\"");
	url = find_text(b->text, b->n_text, "\"file://");
	if (is_editable == NULL || url == NULL)
		return;
	is_editable += strlen("\"editable\"");
	while (is_editable < b->text + b->n_text && strchr(" :\t\n", *is_editable) != NULL)
		is_editable++;
	if (b->text + b->n_text - is_editable < 4 || memcmp(is_editable, "true", 4) != 0)
		return;
	url += strlen("\"file://");
	end = memchr(url, '"', (size_t)(b->text + b->n_text - url));
	if (end == NULL || end == url || *url != '/' || end - url > PACKAGES_ROOT_MAX ||
	    (path = take(b, (size_t)(end - url))) == NULL)
		return;
	for (; url < end; url++) {
		if (*url == '%' && end - url > 2 && hex_digit(url[1]) < 16 && hex_digit(url[2]) < 16) {
			path[n++] = (char)(hex_digit(url[1]) << 4 | hex_digit(url[2]));
			url += 2;
		} else {
			path[n++] = *url;
		}
	}
	while (n > 1 && path[n - 1] == '/')
		n--;
	if (n > 1)
		table->editable[table->n_editable++] = (struct editable){path, (uint32_t)n, dist};
}

/* Lower case, and one '-' for each run of '-', '_' and '.'. */
static void
name_dist(struct table *table, unsigned dist, const char *entry, char *out)
{
	size_t n = 0, len = raw_name_len(entry);

	for (size_t i = 0; i < len; i++) {
		char c = entry[i];

		if (c == '-' || c == '_' || c == '.') {
			if (n > 0 && out[n - 1] == '-')
				continue;
			c = '-';
		}
		out[n++] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
	}
	table->names[dist] = pyaudit_value_text(out, n);
}

static void
add_entry(struct builder *b, const char *entry, unsigned char type)
{
	size_t len = strlen(entry);
	enum listing listing = LISTS_NOTHING;
	unsigned dist = b->table->n_dists;
	char *kept;

	if (ends_with(entry, len, ".dist-info"))
		listing = DIST_INFO;
	else if (ends_with(entry, len, ".egg-info"))
		listing = type == DT_REG ? LISTS_NOTHING : EGG_INFO;
	else if (ends_with(entry, len, ".egg"))
		listing = EGG;
	else
		return;
	if (dist == PACKAGES_DISTS_MAX || len > NAME_MAX_KEPT || entry[0] == '-' ||
	    raw_name_len(entry) == 0 ||
	    (kept = take(b, 2 * len + 2)) == NULL)
		return;
	memcpy(kept, entry, len + 1);
	b->table->dists[dist] = (struct dist){kept, listing, false};
	name_dist(b->table, dist, kept, kept + len + 1);
	b->table->n_dists++;
}

/* As getdents64 gives them. */
struct entry {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

/* Opens the directory and finds the distributions. */
static bool
list_dists(struct builder *b, const struct root *root)
{
	unsigned n_seen = 0;
	struct timespec now;
	struct stat st;
	long n;

	b->table->again_ms = UINT64_MAX;
	b->fd = open(root->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
	if (b->fd < 0 || status_of(b->fd, &st) != 0)
		return false;
	b->table->ino = st.st_ino;
	b->table->mtime = st.st_mtim;
	(void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (now.tv_sec - st.st_mtim.tv_sec <= SETTLES_MS / 1000)
		b->table->again_ms = clock_ms(CLOCK_MONOTONIC_COARSE) + SETTLES_MS;
	while ((n = syscall(SYS_getdents64, b->fd, b->text, LIST_SIZE)) > 0) {
		for (long at = 0; at < n;) {
			const struct entry *entry = (const void *)(b->text + at);

			add_entry(b, entry->name, entry->type);
			at += entry->reclen;
			n_seen++;
		}
		if (!root->is_site && n_seen > PACKAGES_ENTRIES_MAX)
			break;
	}
	return n >= 0;
}

static bool
begin(struct builder *b)
{
	char *arena = mmap(NULL, ARENA_SIZE + PACKAGES_RECORD_MAX, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (arena == MAP_FAILED)
		return false;
	*b = (struct builder){.fd = -1, .end = arena + ARENA_SIZE, .text = arena + ARENA_SIZE};
	b->at = arena;
	b->table = take(b, sizeof(*b->table));
	return true;
}

/* Gives back what was not used of the mapping. */
static struct table *
finish(struct builder *b, bool whole)
{
	char *arena = (char *)b->table;
	size_t used = ((size_t)(b->at - arena) + 4095) & ~(size_t)4095;

	if (b->fd >= 0)
		(void)close(b->fd);
	if (!whole)
		used = 0;
	(void)munmap(arena + used, ARENA_SIZE + PACKAGES_RECORD_MAX - used);
	if (!whole)
		return NULL;
	b->table->size = used;
	return b->table;
}

/* A directory that cannot be read has nothing, and is not tried again before it has changed. */
static struct table *
build(const struct root *root, bool links_only)
{
	struct builder b;

	if (!begin(&b))
		return NULL;
	(void)list_dists(&b, root);
	for (unsigned i = 0; i < b.table->n_dists; i++) {
		if (links_only && b.table->dists[i].listing == DIST_INFO)
			read_direct_url(&b, i);
		if (!links_only)
			claim_all(&b, i, false);
	}
	for (unsigned i = 0; b.has_shared && i < b.table->n_dists; i++)
		claim_all(&b, i, true);
	if (!make_room_for_key(&b))
		return finish(&b, false);
	return finish(&b, true);
}

/* The table, made if need be. NULL where there is no memory for it. */
static struct table *
table_of(struct root *root, _Atomic(struct table *) *place, bool links_only)
{
	struct table *table = atomic_load_explicit(place, memory_order_acquire), *made;

	if (table != NULL)
		return table;
	made = build(root, links_only);
	if (made == NULL)
		return NULL;
	if (atomic_compare_exchange_strong(place, &table, made))
		return made;
	(void)munmap(made, made->size);
	return table;
}

/* Something was installed meanwhile? The old table stays mapped, for names in it are in use. */
static struct table *
read_again(struct root *root, struct table *old)
{
	uint64_t now = clock_ms(CLOCK_MONOTONIC_COARSE);
	struct table *made;
	struct stat st;

	if (now - atomic_load_explicit(&root->looked_ms, memory_order_relaxed) < LOOK_MS)
		return NULL;
	atomic_store_explicit(&root->looked_ms, now, memory_order_relaxed);
	if (status_at(AT_FDCWD, root->path, &st) != 0 ||
	    (st.st_ino == old->ino && st.st_mtim.tv_sec == old->mtime.tv_sec &&
	     st.st_mtim.tv_nsec == old->mtime.tv_nsec && now < old->again_ms) ||
	    atomic_fetch_add_explicit(&root->n_read, 1, memory_order_relaxed) >= PACKAGES_READ_MAX)
		return NULL;
	made = build(root, false);
	if (made == NULL)
		return NULL;
	if (atomic_compare_exchange_strong(&root->table, &old, made))
		return made;
	(void)munmap(made, made->size);
	return old;
}

static struct root *
find_root(const char *path, size_t len)
{
	struct root *root = atomic_load_explicit(&roots, memory_order_acquire);

	while (root != NULL && (root->len != len || memcmp(root->path, path, len) != 0))
		root = root->next;
	return root;
}

static bool
is_site(const char *path, size_t len)
{
	return ends_with(path, len, "/site-packages") || ends_with(path, len, "/dist-packages");
}

static struct root *
know_root(const char *path, size_t len)
{
	struct root *root = find_root(path, len);

	if (root != NULL || len > PACKAGES_ROOT_MAX)
		return root;
	if (atomic_fetch_add_explicit(&n_roots, 1, memory_order_relaxed) >= PACKAGES_ROOTS_MAX) {
		atomic_fetch_sub_explicit(&n_roots, 1, memory_order_relaxed);
		return NULL;
	}
	root = mmap(NULL, sizeof(*root), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (root == MAP_FAILED) {
		atomic_fetch_sub_explicit(&n_roots, 1, memory_order_relaxed);
		return NULL;
	}
	memcpy(root->path, path, len);
	root->len = (uint32_t)len;
	root->is_site = is_site(path, len);
	root->next = atomic_load_explicit(&roots, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(&roots, &root->next, root))
		;
	return root;
}

void
packages_know(const char *dir, size_t len)
{
	while (len > 1 && dir[len - 1] == '/')
		len--;
	if (len > 1 && dir[0] == '/' && memchr(dir, '\0', len) == NULL)
		(void)know_root(dir, len);
}

static unsigned
give(const struct table *table, uint32_t set, const struct pyaudit_value **ret)
{
	if (set < PACKAGES_DISTS_MAX) {
		*ret = &table->names[set];
		return 1;
	}
	*ret = table->shared[set - PACKAGES_DISTS_MAX].names;
	return table->shared[set - PACKAGES_DISTS_MAX].n;
}

/* @path is relative to the directory of the table. */
static unsigned
look_up(const struct table *table, const char *path, size_t len, const struct pyaudit_value **ret)
{
	const struct key *key = find(table, file_hash(path, len));

	while (key->hash == 0 && (len = directory_len(path, len)) > 0)
		key = find(table, dir_hash(path, len));
	return key->hash != 0 ? give(table, key->set, ret) : 0;
}

static unsigned
of_root(struct root *root, const char *path, size_t len, const struct pyaudit_value **ret)
{
	struct table *table = table_of(root, &root->table, false);
	unsigned n = table != NULL ? look_up(table, path, len, ret) : 0;

	if (n == 0 && table != NULL && root->is_site) {
		table = read_again(root, table);
		n = table != NULL ? look_up(table, path, len, ret) : 0;
	}
	return n;
}

/* From the outermost directory of packages on: what lies in a package that calls a directory of its
 * own site-packages is the package's. */
static unsigned
of_sites(const char *path, size_t len, const struct pyaudit_value **ret)
{
	const char *at = path, *end = path + len;
	unsigned n = 0;

	while (n == 0 && (at = memchr(at + 1, '/', (size_t)(end - at - 1))) != NULL) {
		size_t dir = (size_t)(at - path);

		if (is_site(path, dir)) {
			struct root *root = know_root(path, dir);

			n = root != NULL ? of_root(root, at + 1, (size_t)(end - at - 1), ret) : 0;
		}
	}
	return n;
}

static bool
is_below(const char *dir, size_t dir_len, const char *path, size_t len)
{
	return len > dir_len + 1 && path[dir_len] == '/' && memcmp(dir, path, dir_len) == 0;
}

/* Other directories of sys.path: pip install --target, a source tree with its *.egg-info. */
static unsigned
of_roots(const char *path, size_t len, const struct pyaudit_value **ret)
{
	struct root *root = atomic_load_explicit(&roots, memory_order_acquire);
	unsigned n = 0;

	for (; root != NULL && n == 0; root = root->next)
		if (!root->is_site && is_below(root->path, root->len, path, len))
			n = of_root(root, path + root->len + 1, len - root->len - 1, ret);
	return n;
}

static unsigned
of_editables(const char *path, size_t len, const struct pyaudit_value **ret)
{
	struct root *root = atomic_load_explicit(&roots, memory_order_acquire);
	size_t longest = 0;

	for (; root != NULL; root = root->next) {
		const struct table *table = table_of(root, &root->links, true);

		for (unsigned i = 0; table != NULL && i < table->n_editable; i++) {
			const struct editable *e = &table->editable[i];

			if (e->len > longest && is_below(e->path, e->len, path, len)) {
				longest = e->len;
				(void)give(table, e->dist, ret);
			}
		}
	}
	return longest > 0 ? 1 : 0;
}

/* No component is empty or begins with a dot. */
static bool
is_plain(const char *path, size_t len)
{
	const char *at = path, *end = path + len;

	while (at != NULL && at + 1 < end) {
		if (at[1] == '/' || at[1] == '.')
			return false;
		at = memchr(at + 1, '/', (size_t)(end - at - 1));
	}
	return true;
}

unsigned
packages_of(const char *path, size_t len, const struct pyaudit_value **ret)
{
	char normal[PATH_KEPT];
	unsigned n;

	if (len == 0 || path[0] != '/')
		return 0;
	if (!is_plain(path, len)) {
		len = pyaudit_path_normalise(normal, sizeof(normal), path, len);
		if (len == SIZE_MAX)
			return 0;
		path = normal;
	}
	n = of_sites(path, len, ret);
	if (n == 0)
		n = of_roots(path, len, ret);
	if (n == 0)
		n = of_editables(path, len, ret);
	return n;
}
