/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "context.h"
#include "facts.h"
#include "secrets.h"
#include "link.h"
#include "registration.h"
#include "status.h"
#include "testpoint.h"

/* Our descriptors stand high, out of the way of programs that count on low numbers, but not so
 * high that the kernel has to grow the table far. */
#define FD_HIGH 960
/* Between two attempts to find a daemon. */
#define RETRY_MS 100
/* A daemon that does not sleep and has not drained for so long is asked whether it lives. */
#define SILENT_NS 200000000ull
/* Rings that may be left behind in the address space. */
#define RINGS_MOVED_MAX 16

static struct held_fd
hold(int fd)
{
	struct held_fd held = {.fd = -1};
	struct rlimit limit;
	struct stat st;
	int high = FD_HIGH;

	if (fd < 0)
		return held;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < FD_HIGH + 64)
		high = (int)(limit.rlim_cur / 4 * 3);
	held.fd = fcntl(fd, F_DUPFD_CLOEXEC, high);
	(void)close(fd);
	if (held.fd >= 0 && status_of(held.fd, &st) == 0) {
		held.dev = st.st_dev;
		held.ino = st.st_ino;
	}
	return held;
}

static bool
still_ours(const struct held_fd *held)
{
	struct stat st;

	return held->fd >= 0 && status_of(held->fd, &st) == 0 && st.st_dev == held->dev &&
	       st.st_ino == held->ino;
}

static void
let_go(struct held_fd *held)
{
	if (still_ours(held))
		(void)close(held->fd);
	held->fd = -1;
}

static void
put_in_force(const void *image, size_t size, const struct pyaudit_facts *facts)
{
	struct policy *slot = &agent.policies[agent.n_policies++ % AGENT_POLICIES];

	if (slot->image != NULL) {
		union {
			const void *c;
			void *p;
		} old = {slot->image};

		(void)munmap(old.p, slot->size);
	}
	slot->image = image;
	slot->size = size;
	slot->generation = pyaudit_image_generation(image);
	slot->serial = agent.n_policies;
	slot->context = context_events(image);
	pyaudit_image_bind(image, facts, &slot->proc);
	pyaudit_secrets_use(pyaudit_image_forms(image));
	atomic_store_explicit(&agent.policy, slot, memory_order_release);
	if (agent.ring != NULL)
		atomic_store_explicit(&agent.ring->generation_used, slot->generation,
				      memory_order_release);
}

static bool
read_whole(int fd, char *buf, size_t size)
{
	for (size_t at = 0; at < size;) {
		ssize_t n = pread(fd, buf + at, size - at, (off_t)at);

		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

/* The published policy is copied, not mapped: a file can be truncated under a mapping, and that
 * would kill the program. */
static void
load_policy_file(const struct pyaudit_facts *facts)
{
	char path[sizeof(agent.dir) + sizeof(PYAUDIT_POLICY_FILE) + 1];
	struct stat st;
	void *copy;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", agent.dir, PYAUDIT_POLICY_FILE);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return;
	if (status_of(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
	    st.st_size <= (off_t)PYAUDIT_IMAGE_SIZE_MAX) {
		size_t size = (size_t)st.st_size;

		copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (copy != MAP_FAILED) {
			if (read_whole(fd, copy, size) && pyaudit_image_check(copy, size) == 0) {
				(void)mprotect(copy, size, PROT_READ);
				put_in_force(copy, size, facts);
			} else {
				(void)munmap(copy, size);
			}
		}
	}
	(void)close(fd);
}

/* NULL where the process may not have one. */
static struct pyaudit_ring *
make_ring(void)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct rlimit limit;
	void *ring;
	size_t size = ring_size();
	int fd;

	/* Growing a file beyond this limit is a signal that ends the program. */
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < size)
		return NULL;
	fd = (int)syscall(SYS_memfd_create, "pyaudit-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return NULL;
	if (ftruncate(fd, (off_t)size) != 0 || fcntl(fd, F_ADD_SEALS, seals) != 0) {
		(void)close(fd);
		return NULL;
	}
	ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED) {
		(void)close(fd);
		return NULL;
	}
	ring_format(ring);
	agent.memfd = hold(fd);
	return ring;
}

/* The first one of this process: of the size that the policy names, or of the usual one where that may not be. */
static struct pyaudit_ring *
make_first_ring(void)
{
	const struct policy *policy = atomic_load(&agent.policy);
	uint32_t flags = policy != NULL ? pyaudit_image_flags(policy->image) : 0;
	unsigned shift = flags >> PYAUDIT_IMAGE_RING_SHIFT & PYAUDIT_IMAGE_RING_MASK;
	struct pyaudit_ring *ring;

	ring_use(shift);
	ring = make_ring();
	if (ring == NULL && shift > 0) {
		ring_use(0);
		ring = make_ring();
	}
	return ring;
}

/* The program closed our memfd and the daemon is to be told of the ring again: everything moves into
 * a new one. The old one stays mapped, for other threads may still be in it; so not often. */
static void
move_ring(void)
{
	static unsigned n_moved;
	struct pyaudit_ring *old = agent.ring;
	struct pyaudit_ring *ring;

	if (n_moved == RINGS_MOVED_MAX)
		return;
	n_moved++;
	let_go(&agent.memfd);
	ring = make_ring();
	if (ring == NULL)
		return;
	memcpy(ring, old, ring_size());
	agent.ring = ring;
}

/* From now on the word in this ring tells of newer policies. Its present value is noted before
 * HELLO goes out, so that whatever the daemon writes in answer is seen as a change. */
static void
follow_ring_generation(void)
{
	const struct policy *policy = atomic_load(&agent.policy);
	_Atomic uint64_t *word = agent.ring != NULL ? &agent.ring->generation : &agent.no_generation;

	if (agent.ring != NULL)
		atomic_store(&agent.ring->generation_used, policy != NULL ? policy->generation : 0);
	atomic_store(&agent.generation_seen, atomic_load(word));
	atomic_store(&agent.generation, word);
}

static int
connect_daemon(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", agent.dir,
		       PYAUDIT_AGENT_SOCKET);
	/* Not by connect and memfd_create, which are ours (reach.c). */
	if (syscall(SYS_connect, fd, &address, sizeof(address)) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

static struct pyaudit_frame
frame_of(enum pyaudit_frame_type type, size_t length)
{
	return (struct pyaudit_frame){.magic = {'P', 'A'},
				      .major = PYAUDIT_MAJOR,
				      .minor = PYAUDIT_MINOR,
				      .type = pyaudit_le16_of((uint16_t)type),
				      .length = pyaudit_le32_of((uint32_t)length)};
}

static bool
send_frame(int fd, enum pyaudit_frame_type type, const struct iovec *parts, unsigned n_parts,
	   int passed_fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct pyaudit_frame frame;
	struct iovec iov[4] = {{.iov_base = &frame, .iov_len = sizeof(frame)}};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = 1 + n_parts};
	size_t length = 0;

	for (unsigned i = 0; i < n_parts; i++) {
		iov[1 + i] = parts[i];
		length += parts[i].iov_len;
	}
	frame = frame_of(type, length);
	if (type == PYAUDIT_FRAME_HELLO && agent.observes)
		frame.flags = pyaudit_le16_of(PYAUDIT_HELLO_OBSERVES);
	if (passed_fd >= 0) {
		struct cmsghdr *head;

		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		head = CMSG_FIRSTHDR(&message);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &passed_fd, sizeof(int));
	}
	return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static bool
say_hello(int fd, enum pyaudit_reason reason, const struct facts_room *room)
{
	const struct policy *policy = atomic_load(&agent.policy);
	struct pyaudit_hello hello = {
		.pid = pyaudit_le32_of((uint32_t)getpid()),
		.ppid = pyaudit_le32_of((uint32_t)getppid()),
		.uid = pyaudit_le32_of(geteuid()),
		.gid = pyaudit_le32_of(getegid()),
		.generation = pyaudit_le64_of(policy != NULL ? policy->generation : 0),
		.route = agent.route,
		.reason = (uint8_t)reason,
		.n_argv = pyaudit_le16_of(room->n_argv),
		.strings = pyaudit_le32_of(room->strings_len),
	};
	union {
		const char *c;
		void *p;
	} strings = {room->strings};
	static char version[] = PYAUDIT_VERSION;
	struct iovec parts[3] = {{&hello, sizeof(hello)},
				 {strings.p, room->strings_len},
				 {version, sizeof(version)}};

	hello.start_ns = pyaudit_le64_of(clock_ns(CLOCK_REALTIME));
	return send_frame(fd, PYAUDIT_FRAME_HELLO, parts, 3, agent.memfd.fd);
}

void
link_attach(enum pyaudit_reason reason)
{
	struct facts_room room;
	struct pyaudit_facts facts;
	int fd = -1;

	TEST_POINT("attach");
	atomic_store(&agent.last_try_ms, clock_ms(CLOCK_MONOTONIC_COARSE));
	agent.pid = (uint32_t)getpid();
	if (reason == PYAUDIT_REASON_AGAIN && agent.ring != NULL) {
		/* Cheap, for it may fail often: everything else is there. */
		fd = connect_daemon();
		if (fd < 0) {
			let_go(&agent.socket);
			return;
		}
	}
	facts_gather(&room, &facts);
	if (atomic_load(&agent.policy) == NULL)
		load_policy_file(&facts);
	/* No policy and nobody to send to: most likely nothing is set up here. Cost nothing. */
	if (fd < 0 && atomic_load(&agent.policy) == NULL) {
		fd = connect_daemon();
		if (fd < 0)
			return;
	}
	if (agent.ring == NULL)
		agent.ring = make_first_ring();
	else if (!still_ours(&agent.memfd))
		move_ring();
	TEST_POINT("ring made");
	if (agent.ring != NULL)
		registration_tell(agent.ring);
	follow_ring_generation();
	let_go(&agent.socket);
	facts_redact(&room);
	TEST_POINT("hello");
	/* The greeting follows at once, so that the daemon wakes for both together: it often does so on this
	 * processor, and before this program goes on. */
	if (fd < 0)
		fd = connect_daemon();
	if (fd >= 0 && !say_hello(fd, reason, &room)) {
		(void)close(fd);
		fd = -1;
	}
	TEST_POINT("greeted");
	if (fd >= 0)
		agent.socket = hold(fd);
}

/* Maps what came with an offer. Sealed, so that nobody can change or cut it under us. */
static void
take_offer(int fd)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	struct facts_room room;
	struct pyaudit_facts facts;
	struct stat st;
	void *image;

	if (status_of(fd, &st) != 0 || st.st_size <= 0 || st.st_size > (off_t)PYAUDIT_IMAGE_SIZE_MAX ||
	    (fcntl(fd, F_GET_SEALS) & seals) != seals)
		return;
	image = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (image == MAP_FAILED)
		return;
	if (pyaudit_image_check(image, (size_t)st.st_size) != 0) {
		(void)munmap(image, (size_t)st.st_size);
		return;
	}
	facts_gather(&room, &facts);
	put_in_force(image, (size_t)st.st_size, &facts);
}

/* One packet from the daemon. False: there is none. A descriptor it carried is in *ret_fd, or -1. */
static bool
receive(uint16_t *ret_type, int *ret_fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} control;
	char packet[512];
	struct iovec iov = {packet, sizeof(packet)};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(agent.socket.fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct pyaudit_frame frame;

	*ret_type = 0;
	*ret_fd = -1;
	if (n <= 0)
		return false;
	for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head != NULL;
	     head = CMSG_NXTHDR(&message, head)) {
		size_t n_fds = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n_fds; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(fd));
			if (*ret_fd >= 0)
				(void)close(*ret_fd);
			*ret_fd = fd;
		}
	}
	if ((size_t)n < sizeof(frame))
		return true;
	memcpy(&frame, packet, sizeof(frame));
	if (frame.magic[0] == 'P' && frame.magic[1] == 'A' && frame.major == PYAUDIT_MAJOR)
		*ret_type = pyaudit_get16(frame.type);
	return true;
}

void
link_take_policy(void)
{
	uint64_t offered = atomic_load(atomic_load(&agent.generation));
	uint16_t type;
	int fd;

	while (still_ours(&agent.socket) && receive(&type, &fd)) {
		if (type == PYAUDIT_FRAME_POLICY && fd >= 0)
			take_offer(fd);
		if (fd >= 0)
			(void)close(fd);
	}
	/* Also where nothing came (the socket is gone, the image is broken): what is in force stays,
	 * and the next look is when the word changes again. */
	atomic_store(&agent.generation_seen, offered);
}

void
link_wake(void)
{
	TEST_POINT("wake");
	if (still_ours(&agent.socket) &&
	    (send_frame(agent.socket.fd, PYAUDIT_FRAME_WAKE, NULL, 0, -1) || errno == EAGAIN))
		return;
	link_attach(PYAUDIT_REASON_AGAIN);
}

void
link_knock(void)
{
	int fd = connect_daemon();

	/* Nobody there: the next record of the parent shall try again. */
	if (fd < 0 || !send_frame(fd, PYAUDIT_FRAME_WAKE, NULL, 0, -1))
		atomic_store(&agent.ring->asleep, 1);
	if (fd >= 0)
		(void)close(fd);
}

void
link_look(uint64_t now_ns)
{
	uint64_t beat;

	atomic_store_explicit(&agent.last_look_ns, now_ns, memory_order_relaxed);
	if (agent.ring == NULL)
		return;
	beat = atomic_load_explicit(&agent.ring->beat_ns, memory_order_relaxed);
	if ((int64_t)(clock_ns(CLOCK_MONOTONIC_COARSE) - beat) < (int64_t)SILENT_NS)
		return;
	if (clock_ms(CLOCK_MONOTONIC_COARSE) - atomic_load(&agent.last_try_ms) >= RETRY_MS)
		link_wake();
}

/* What the socket did not take is told before the next record that it takes. */
static void
tell_unsent(void)
{
	static _Atomic uint64_t told;
	uint64_t total = atomic_load(&agent.n_unsent);
	struct pyaudit_lost lost = {pyaudit_le64_of(total)};
	struct iovec part = {&lost, sizeof(lost)};

	if (total != atomic_load(&told) &&
	    send_frame(agent.socket.fd, PYAUDIT_FRAME_LOST, &part, 1, -1))
		atomic_store(&told, total);
}

bool
link_send_record(const void *record, size_t size)
{
	union {
		const void *c;
		void *p;
	} bytes = {record};
	struct iovec part = {bytes.p, size};

	if (!still_ours(&agent.socket))
		return false;
	tell_unsent();
	return send_frame(agent.socket.fd, PYAUDIT_FRAME_RECORD, &part, 1, -1);
}

void
link_forked(void)
{
	struct pyaudit_ring *parents = agent.ring;

	agent.ring = NULL;
	follow_ring_generation();
	if (parents != NULL)
		(void)munmap(parents, ring_size());
	let_go(&agent.socket);
	let_go(&agent.memfd);
}
