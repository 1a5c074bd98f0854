/* Looks a name up with getaddrinfo(3), for both IP versions as most programs do
 * or for the one in the second argument (4 or 6), and prints the result, how long it took in milliseconds, and the addresses. The
 * tests compare it with what this package predicts. */
#define _GNU_SOURCE
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

static const char *result(int code)
{
	switch (code) {
	case 0: return "OK";
	case EAI_AGAIN: return "EAI_AGAIN";
	case EAI_FAIL: return "EAI_FAIL";
	case EAI_NONAME: return "EAI_NONAME";
	case EAI_NODATA: return "EAI_NODATA";
	case EAI_SYSTEM: return "EAI_SYSTEM";
	}
	return "other";
}

int main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL, *a;
	struct timespec start, end;
	char text[256];

	if (argc != 2 && argc != 3)
		return 2;
	if (argc == 3)
		hints.ai_family = argv[2][0] == '4' ? AF_INET : AF_INET6;
	clock_gettime(CLOCK_MONOTONIC, &start);
	int code = getaddrinfo(argv[1], NULL, &hints, &list);
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%s %ld\n", result(code), (end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000);
	for (a = list; a; a = a->ai_next)
		if (!getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST))
			puts(text);
	return 0;
}
