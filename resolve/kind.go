package resolve

import (
	"regexp"
	"strings"
)

// ownerKind is a kind of workload resource that owns pods, as the API writes it.
type ownerKind string

// The kinds.
const (
	ownerDeployment  ownerKind = "Deployment"
	ownerReplicaSet  ownerKind = "ReplicaSet"
	ownerDaemonSet   ownerKind = "DaemonSet"
	ownerStatefulSet ownerKind = "StatefulSet"
	ownerJob         ownerKind = "Job"
	ownerCronJob     ownerKind = "CronJob"
	// ownerService owns no pods, it selects them.
	ownerService ownerKind = "Service"
)

// podForms says how a pod can be named.
const podForms = "Give pod as name, namespace/name or kind/name; the kinds are po, svc, deploy, rs, ds, sts, job and cj."

// isKind reports whether the word is a kind as kubectl takes it, short or long,
// and with its group as kubectl prints it ("deployment.apps").
func isKind(word string) bool {
	_, ok := kindOf(word)
	return ok
}

// kindNamed is the kind that a word means; "" for a pod.
func kindNamed(word string) ownerKind {
	kind, _ := kindOf(word)
	return kind
}

func kindOf(word string) (ownerKind, bool) {
	name, group, _ := strings.Cut(strings.ToLower(word), ".")
	of := "apps"
	var kind ownerKind
	switch name {
	case "po", "pod", "pods":
		of = ""
	case "svc", "service", "services":
		kind, of = ownerService, ""
	case "deploy", "deployment", "deployments":
		kind = ownerDeployment
	case "rs", "replicaset", "replicasets":
		kind = ownerReplicaSet
	case "ds", "daemonset", "daemonsets":
		kind = ownerDaemonSet
	case "sts", "statefulset", "statefulsets":
		kind = ownerStatefulSet
	case "job", "jobs":
		kind, of = ownerJob, "batch"
	case "cj", "cronjob", "cronjobs":
		kind, of = ownerCronJob, "batch"
	default:
		return "", false
	}
	return kind, group == "" || group == of
}

// The ends that controllers give to the names of what they make: five characters
// of a safe alphabet, the hash of a pod's template in it, and for the Jobs of a
// CronJob the minute (k8s.io/apimachinery/pkg/util/rand, controller utilities).
const (
	safeAlphabet = "[bcdfghjklmnpqrstvwxz2456789]"
	randomEnd    = "-" + safeAlphabet + "{5}"
	hashEnd      = "-" + safeAlphabet + "{1,10}"
)

// podsNamed matches the names that the pods of an owner have. Those of a service may
// have any.
func podsNamed(kind ownerKind, owner string) *regexp.Regexp {
	end := randomEnd
	switch kind {
	case ownerDeployment:
		end = hashEnd + randomEnd
	case ownerStatefulSet:
		end = "-[0-9]+"
	case ownerJob:
		end = "(-[0-9]+)?" + randomEnd
	case ownerCronJob:
		end = "-[0-9]+(-[0-9]+)?" + randomEnd
	}
	return regexp.MustCompile("^" + regexp.QuoteMeta(owner) + end + "$")
}
