package probe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
)

func TestLinksDeadline(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	ctx, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := Links(ctx, l.Node.Handle, LinkOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

// TestLinksWhileTheyChange: interfaces that come and go make the kernel's list
// inconsistent; those that stay are always in ours, once.
func TestLinksWhileTheyChange(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	ns := l.Pod(t, lab.PodSpec{Style: lab.Plain}).Netns
	const lasting = 60
	var commands string
	for i := range lasting {
		commands += fmt.Sprintf("link add keep%d type ifb\n", i)
	}
	batch(t, ns, commands)
	stop := make(chan struct{})
	var churn sync.WaitGroup
	churn.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := ns.Output("ip", "link", "add", "come", "type", "ifb"); err != nil {
				t.Error(err)
			}
			if _, err := ns.Output("ip", "link", "del", "come"); err != nil {
				t.Error(err)
			}
		}
	})
	for range 100 {
		list, err := Links(context.Background(), ns.Handle, LinkOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !list.Complete {
			continue
		}
		seen := map[int]int{}
		for _, link := range list.Links {
			seen[link.Index]++
		}
		if len(seen) != len(list.Links) || len(seen) < lasting+1 || len(seen) > lasting+2 {
			t.Fatalf("%d interfaces under %d numbers", len(list.Links), len(seen))
		}
	}
	close(stop)
	churn.Wait()
}
