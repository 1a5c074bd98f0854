package resolve

import (
	"encoding/json"
	"net/http"
	"time"
)

// What follows are the objects of the Kubernetes API, with those fields only that
// are read (k8s.io/api has them all, and what they mean).

// kubeObject is one of them.
type kubeObject interface{ kind() string }

type kubeKind struct {
	Kind string `json:"kind"`
}

func (k *kubeKind) kind() string { return k.Kind }

type kubeMeta struct {
	Name              string            `json:"name"`
	Namespace         string            `json:"namespace"`
	UID               string            `json:"uid"`
	CreationTimestamp time.Time         `json:"creationTimestamp"`
	DeletionTimestamp *time.Time        `json:"deletionTimestamp"`
	Labels            map[string]string `json:"labels"`
	Annotations       map[string]string `json:"annotations"`
	OwnerReferences   []kubeOwner       `json:"ownerReferences"`
}

type kubeOwner struct {
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	UID        string `json:"uid"`
	Controller bool   `json:"controller"`
}

// controller is the one owner that manages the object; nil where there is none.
func (m *kubeMeta) controller() *kubeOwner {
	for i := range m.OwnerReferences {
		if m.OwnerReferences[i].Controller {
			return &m.OwnerReferences[i]
		}
	}
	return nil
}

type kubePod struct {
	kubeKind
	Metadata kubeMeta `json:"metadata"`
	Spec     struct {
		NodeName              string              `json:"nodeName"`
		HostNetwork           bool                `json:"hostNetwork"`
		DNSPolicy             string              `json:"dnsPolicy"`
		ShareProcessNamespace bool                `json:"shareProcessNamespace"`
		Containers            []kubeContainerSpec `json:"containers"`
		InitContainers        []kubeContainerSpec `json:"initContainers"`
		EphemeralContainers   []kubeContainerSpec `json:"ephemeralContainers"`
	} `json:"spec"`
	Status struct {
		Phase                      string                `json:"phase"`
		Reason                     string                `json:"reason"`
		Message                    string                `json:"message"`
		PodIP                      string                `json:"podIP"`
		PodIPs                     []kubeIP              `json:"podIPs"`
		HostIP                     string                `json:"hostIP"`
		HostIPs                    []kubeIP              `json:"hostIPs"`
		Conditions                 []kubeCondition       `json:"conditions"`
		ContainerStatuses          []kubeContainerStatus `json:"containerStatuses"`
		InitContainerStatuses      []kubeContainerStatus `json:"initContainerStatuses"`
		EphemeralContainerStatuses []kubeContainerStatus `json:"ephemeralContainerStatuses"`
	} `json:"status"`
}

type kubeIP struct {
	IP string `json:"ip"`
}

type kubeContainerSpec struct {
	Name          string `json:"name"`
	Image         string `json:"image"`
	RestartPolicy string `json:"restartPolicy"`
	Ports         []struct {
		Name          string `json:"name"`
		ContainerPort int    `json:"containerPort"`
		Protocol      string `json:"protocol"`
	} `json:"ports"`
}

type kubeCondition struct {
	Type               string    `json:"type"`
	Status             string    `json:"status"`
	Reason             string    `json:"reason"`
	Message            string    `json:"message"`
	LastTransitionTime time.Time `json:"lastTransitionTime"`
}

type kubeContainerStatus struct {
	Name         string             `json:"name"`
	ContainerID  string             `json:"containerID"`
	Ready        bool               `json:"ready"`
	RestartCount int                `json:"restartCount"`
	State        kubeContainerState `json:"state"`
	LastState    kubeContainerState `json:"lastState"`
}

// kubeContainerState has one field set, or none.
type kubeContainerState struct {
	Waiting *struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"waiting"`
	Running *struct {
		StartedAt time.Time `json:"startedAt"`
	} `json:"running"`
	Terminated *kubeTerminated `json:"terminated"`
}

type kubeTerminated struct {
	ExitCode   int       `json:"exitCode"`
	Reason     string    `json:"reason"`
	Message    string    `json:"message"`
	StartedAt  time.Time `json:"startedAt"`
	FinishedAt time.Time `json:"finishedAt"`
}

type kubeNode struct {
	kubeKind
	Metadata kubeMeta `json:"metadata"`
	Status   struct {
		Addresses []struct {
			Type    string `json:"type"`
			Address string `json:"address"`
		} `json:"addresses"`
		Conditions []kubeCondition `json:"conditions"`
		NodeInfo   struct {
			BootID    string `json:"bootID"`
			MachineID string `json:"machineID"`
		} `json:"nodeInfo"`
	} `json:"status"`
}

type kubeService struct {
	kubeKind
	Metadata kubeMeta `json:"metadata"`
	Spec     struct {
		Type      string            `json:"type"`
		Selector  map[string]string `json:"selector"`
		ClusterIP string            `json:"clusterIP"`
		// ExternalName is a DNS name.
		ExternalName string   `json:"externalName"`
		ClusterIPs   []string `json:"clusterIPs"`
		ExternalIPs  []string `json:"externalIPs"`
		Ports        []struct {
			Name     string `json:"name"`
			Protocol string `json:"protocol"`
			Port     int    `json:"port"`
			// TargetPort is a number or a name.
			TargetPort json.RawMessage `json:"targetPort"`
			NodePort   int             `json:"nodePort"`
		} `json:"ports"`
	} `json:"spec"`
	Status struct {
		LoadBalancer struct {
			Ingress []kubeIP `json:"ingress"`
		} `json:"loadBalancer"`
	} `json:"status"`
}

type kubeEvent struct {
	kubeKind
	Reason        string    `json:"reason"`
	Message       string    `json:"message"`
	LastTimestamp time.Time `json:"lastTimestamp"`
	EventTime     time.Time `json:"eventTime"`
	Series        *struct {
		LastObservedTime time.Time `json:"lastObservedTime"`
	} `json:"series"`
}

// kubeStatus is how the API refuses a request.
type kubeStatus struct {
	Kind    string `json:"kind"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	code    int
}

func (s *kubeStatus) Error() string { return text(s.Message) }

// kubeRefusal reads why a request was refused. What is not said by a Status does
// not come from an API, but from something in front of it or in its place.
func kubeRefusal(response *http.Response) error {
	s := &kubeStatus{}
	if err := foreignDecoder(response.Body).Decode(s); err != nil || s.Kind != "Status" {
		s = &kubeStatus{}
	}
	s.code = response.StatusCode
	return s
}
