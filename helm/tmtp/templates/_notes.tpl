{{/* What is printed after an install. Apart from NOTES.txt, so that tests can render it. */}}
{{- define "postern.notes" -}}
{{- $name := include "postern.name" . -}}
{{- $ns := .Release.Namespace -}}
Postern {{ .Chart.AppVersion }} is installed as {{ .Release.Name }} in {{ $ns }}.
{{- if .Values.trial.enabled }}

THIS IS A TRIAL, UNFIT FOR PRODUCTION: one Postgres and one Redis, not replicated, not saved elsewhere.
{{- end }}

1. Wait until everything runs:

   kubectl -n {{ $ns }} rollout status deployment/{{ $name }}-gateway
   kubectl -n {{ $ns }} rollout status deployment/{{ $name }}-worker
   kubectl -n {{ $ns }} rollout status deployment/{{ $name }}-admin

2. Find the address of the gateways:
{{ if eq .Values.gateway.service.type "LoadBalancer" }}
   kubectl -n {{ $ns }} get service {{ $name }}-gateway -o jsonpath='{.status.loadBalancer.ingress[0]}'
{{ else if eq .Values.gateway.service.type "NodePort" }}
   kubectl -n {{ $ns }} get service {{ $name }}-gateway -o jsonpath='{.spec.ports[0].nodePort}'
   (that port, at any node that runs a gateway)
{{ else }}
   kubectl -n {{ $ns }} port-forward service/{{ $name }}-gateway 8443:{{ .Values.gateway.service.port }}
   (then it is 127.0.0.1:8443)
{{ end -}}
{{- with .Values.bootstrap.site }}
{{- if .domains }}
   Let the name {{ first .domains }} lead there, and type into a TMTP client:

   Address       {{ first .domains }}:{{ $.Values.gateway.service.port }}
{{- if and $.Values.trial.enabled (not $.Values.certificate.existingSecret) (not $.Values.certificate.certManager.enabled) }}
   Certificate   self-signed: the client has to be told to accept it
{{- end }}
{{- if eq .registration "open" }}
   Everybody who connects may register.
{{- else if eq .registration "closed" }}
   The site takes nobody yet: `tmtpctl site set {{ first .domains }} --registration open`, or invite people.
{{- else }}
   Who may register: {{ .registration }}.
{{- end }}
{{- else }}
   There is no site yet. Make one with the admin API (see 3), and let its name lead there; its address is what you type
   into a TMTP client, here acme.example:{{ $.Values.gateway.service.port }}:

   tmtpctl site create --name "Acme" --domain acme.example --registration open
{{- end }}
{{- end }}

3. Use the admin API{{ with .Values.admin.api.host }} at https://{{ . }}{{ end }}:
{{ if include "postern.hasOperatorKey" . }}
   export ADMIN_TOKEN=$(kubectl -n {{ $ns }} get secret {{ include "postern.secret.operator" . }} -o jsonpath='{.data.{{ include "postern.key.operator" . | replace "." "\\." }}}' | base64 -d)
{{- else }}
   (bootstrap is off: use a key that you have)
{{- end }}
{{- if .Values.admin.api.host }}
   export ADMIN_URL=https://{{ .Values.admin.api.host }}
{{- else }}
   kubectl -n {{ $ns }} port-forward service/{{ $name }}-admin 8080 &
   export ADMIN_URL=http://127.0.0.1:8080
{{- end }}
   tmtpctl site list

4. Check it:
{{ if include "postern.hasOperatorKey" . }}
   helm -n {{ $ns }} test {{ .Release.Name }} --logs
{{- end }}
   kubectl -n {{ $ns }} get pods -l app.kubernetes.io/instance={{ .Release.Name }}

   Load balancers must let connections idle for more than 130 seconds: clients say something every 115.
{{- end }}
