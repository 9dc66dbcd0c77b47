{{/*
How long a stop takes, in seconds. A pod that is to end is taken from its Service, which load balancers learn a moment
later: so long the pod goes on as before (preStop). Then it drains, and breaks off what is left after its grace.
*/}}

{{/* A quarter of the drain, because who has chosen a long one has a slow load balancer, too; at least 2, at most 30. */}}
{{- define "postern.preStop" -}}
{{- max 2 (min 30 (div (add . 3) 4)) -}}
{{- end }}

{{/* `runtime.shutdown_grace` of a gateway: the last clients of the drain may still wait for answers, 17 seconds. */}}
{{- define "postern.gatewayGrace" -}}
{{- add . 20 -}}
{{- end }}

{{/* From the grace on, a program takes up to 3 seconds to let go; the rest is for kubelet. (list preStop grace) */}}
{{- define "postern.termination" -}}
{{- add (index . 0) (index . 1) 7 -}}
{{- end }}
